// The effect of SIGSTOP and SIGCONT on waits with a time limit (signal(7)): some fail with EINTR, most continue.
// SIGCONT alone has no effect on them.
// build: m32
#include "waits_with_limits.h"

static void await_waiting(pid_t child)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    for (;;) {
        int file = MUST(open(path, O_RDONLY | O_CLOEXEC));
        ssize_t length = MUST(read(file, text, sizeof text - 1));
        close(file);
        text[length] = 0;
        if (strstr(text, ") S ") != NULL)
            return;
        must_live(child);
        sched_yield();
    }
}

int main(void)
{
    for (size_t i = 0; i < sizeof limited / sizeof *limited; i++)
        for (int stop = 0; stop < 2; stop++) {
            int status, ready[2];
            MUST(pipe(ready));
            mask(SIG_BLOCK, SIGUSR1);
            pid_t child = MUST(fork());
            if (child == 0) {
                post(ready[1]);
                _exit((int)-limited[i].wait_for(stop ? 500 : 150) & 0xFF);
            }
            await_post(ready[0]);
            await_waiting(child);
            if (stop) {
                MUST(kill(child, SIGSTOP));
                MUST(waitpid(child, &status, WUNTRACED));
                usleep(20000);
            }
            MUST(kill(child, SIGCONT));
            say("%s, %s: %s", limited[i].name, stop ? "stopped" : "continued", reaped(child));
            close(ready[0]);
            close(ready[1]);
        }
    return 0;
}
