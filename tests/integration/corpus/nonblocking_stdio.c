// O_NONBLOCK and O_APPEND of the standard streams do not change, except when the program changes them.
#include "subject.h"

int main(void)
{
    for (int number = 0; number < 3; number++)
        say("%d: nonblocking %d append %d", number, !!(fcntl(number, F_GETFL) & O_NONBLOCK),
            !!(fcntl(number, F_GETFL) & O_APPEND));
    MUST(fcntl(2, F_SETFL, fcntl(2, F_GETFL) | O_NONBLOCK));
    mark();
    say("2: nonblocking %d", !!(fcntl(2, F_GETFL) & O_NONBLOCK));
    dprintf(2, "to standard error\n");
    return 0;
}
