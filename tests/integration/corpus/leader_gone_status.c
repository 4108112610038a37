// A process whose leader has exited is not a zombie for its parent. exit_group in a thread sets the exit status.
// Signals reach the process.
#include "subject.h"

static int ready[2];

static void handler(int number)
{
    say("handler %d in another thread than the leader %d", number, getpid() != (pid_t)syscall(SYS_gettid));
}

static void *remains(void *how)
{
    pid_t me = (pid_t)syscall(SYS_gettid);
    MUST(write(ready[1], &me, sizeof me));
    pause();
    mark();
    if (how == NULL)
        exit(33);
    syscall(SYS_exit, 5);
    return NULL;
}

static void leaderless(void *how)
{
    pid_t child = MUST(fork());
    if (child == 0) {
        on_signal(SIGUSR1, handler, 0);
        pthread_t thread;
        MUST0(pthread_create(&thread, NULL, remains, how));
        syscall(SYS_exit, 11);
    }
    pid_t remaining;
    MUST(read(ready[0], &remaining, sizeof remaining));
    await_blocked(remaining, SYS_pause);
    /* The status is that of the thread that exits last (kernel/exit.c, synchronize_group_exit). */
    await_leader_gone(child);
    siginfo_t info = {0};
    for (int i = 0; i < 100; i++) {
        MUST(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT));
        sched_yield();
    }
    say("still there %d", info.si_pid == 0);
    MUST(kill(child, SIGUSR1));
    say("%s", reaped(child));
}

int main(void)
{
    MUST(pipe(ready));
    leaderless(NULL);
    leaderless((void *)"by its own exit");
    return 0;
}
