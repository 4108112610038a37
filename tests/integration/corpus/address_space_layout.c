// Address space randomisation is as the caller has set it: the personality, and whether the addresses of two runs
// differ.
#include "subject.h"
#include <sys/personality.h>

static uintptr_t addresses[2];

int main(int argc, char **argv)
{
    if (argc > 1) {
        int here;
        uintptr_t address = (uintptr_t)&here;
        return write(3, &address, sizeof address) == sizeof address ? 0 : 1;
    }
    say("personality %#x", personality(0xffffffff));
    for (int randomised = 1; randomised >= 0; randomised--) {
        for (int i = 0; i < 2; i++) {
            int ends[2];
            MUST(pipe(ends));
            pid_t child = MUST(fork());
            if (child == 0) {
                if (!randomised)
                    MUST(personality(ADDR_NO_RANDOMIZE));
                dup2(ends[1], 3);
                execl("/proc/self/exe", argv[0], "tell", NULL);
                _exit(1);
            }
            MUST(read(ends[0], &addresses[i], sizeof addresses[i]));
            say("%s", reaped(child));
            close(ends[0]);
            close(ends[1]);
        }
        say("randomised %d: differ %d", randomised, addresses[0] != addresses[1]);
    }
    return 0;
}
