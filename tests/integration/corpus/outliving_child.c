// The first process exits while its child continues to write to the same pipe. The caller gets the exit status and all
// output.
#include "subject.h"

int main(void)
{
    int gate[2];
    MUST(pipe(gate));
    if (MUST(fork()) == 0) {
        close(gate[1]);
        await_end(gate[0]);
        for (int i = 0; i < 5; i++) {
            say("orphan %d", i);
            mark();
        }
        _exit(77);
    }
    close(gate[0]);
    say("first ends");
    return 13;
}
