// Strict seccomp mode: write works, another call kills by SIGKILL.
#include "subject.h"
#include <linux/seccomp.h>

int main(void)
{
    for (int allowed = 0; allowed < 2; allowed++) {
        pid_t child = MUST(fork());
        if (child == 0) {
            MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
            static const char line[] = "in strict mode\n";
            if (write(1, line, sizeof line - 1) < 0)
                syscall(SYS_exit, 4);
            mark();
            if (!allowed)
                syscall(SYS_getpid);
            syscall(SYS_exit, 5);
        }
        say("%s", reaped(child));
    }
    return 0;
}
