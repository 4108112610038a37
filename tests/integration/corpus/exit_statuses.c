// Every exit status from 0 to 255, as the parent of 256 processes sees them.
// build: m32
#include "subject.h"

int main(void)
{
    for (int status = 0; status < 256; status++) {
        pid_t child = MUST(fork());
        if (child == 0)
            _exit(status);
        say("%s", reaped(child));
    }
    return 255;
}
