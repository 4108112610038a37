// waitpid and waitid with WNOHANG, WUNTRACED, WCONTINUED, WNOWAIT, WSTOPPED, __WALL, by pid, group and pidfd.
// build: static, m32
#include "subject.h"

static void show(const char *what, int result, siginfo_t *info, pid_t child)
{
    if (result == -1)
        say("%s: %s", what, strerror(errno));
    else
        say("%s: signal %d code %d child %d status %d", what, info->si_signo, info->si_code, info->si_pid == child,
            info->si_status);
    memset(info, 0, sizeof *info);
}

int main(void)
{
    int status, gate[2];
    siginfo_t info;
    memset(&info, 0, sizeof info);
    MUST(pipe(gate));
    pid_t child = MUST(fork());
    if (child == 0) {
        setpgid(0, 0);
        await_post(gate[0]);
        raise(SIGSTOP);
        mark();
        /* The child must not stop before the parent has seen that it runs: a new stop discards the report of the last
         * continuation. */
        await_post(gate[0]);
        raise(SIGTSTP);
        await_post(gate[0]);
        _exit(42);
    }
    setpgid(child, child);
    say("nothing yet %d", waitpid(child, &status, WNOHANG | WUNTRACED | WCONTINUED));
    show("waitid WNOHANG", waitid(P_PID, (id_t)child, &info, WEXITED | WSTOPPED | WNOHANG), &info, child);
    post(gate[1]);
    show("stopped, left", waitid(P_PGID, (id_t)child, &info, WSTOPPED | WNOWAIT), &info, child);
    show("stopped, taken", waitid(P_PGID, (id_t)child, &info, WSTOPPED), &info, child);
    show("no more", waitid(P_PGID, (id_t)child, &info, WSTOPPED | WNOHANG), &info, child);
    kill(child, SIGCONT);
    show("continued", waitid(P_PID, (id_t)child, &info, WCONTINUED), &info, child);
    post(gate[1]);
    say("waitpid stop %d", waitpid(-child, &status, WUNTRACED) == child);
    say("%s", described(status));
    kill(child, SIGCONT);
    say("waitpid cont %d", waitpid(-1, &status, WCONTINUED | __WALL) == child);
    say("%s", described(status));
    post(gate[1]);
    int handle = (int)MUST(syscall(SYS_pidfd_open, child, 0));
    show("exited, left", waitid((idtype_t)3, (id_t)handle, &info, WEXITED | WNOWAIT), &info, child);
    show("exited, left again", waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), &info, child);
    struct rusage used;
    say("wait4 %d", wait4(child, &status, __WALL, &used) == child);
    say("%s", described(status));
    show("gone", waitid(P_PID, (id_t)child, &info, WEXITED), &info, child);
    int result = waitpid(-1, &status, 0);
    say("waitpid %d %s", result, strerror(errno));
    return 0;
}
