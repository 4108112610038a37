// The program's own seccomp filter: errno, SIGSYS with its data, death, and SECCOMP_RET_TRACE, for which there is no
// tracer without htrun.
#include "subject.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#define ON(number, action) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, action)

static void trapped(int number, siginfo_t *info, void *context)
{
    (void)context;
    say("signal %d code %d call %d", number, info->si_code, info->si_syscall == SYS_getgid);
    mark();
}

static void install(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ON(SYS_getuid, SECCOMP_RET_ERRNO | 123),
        ON(SYS_getgid, SECCOMP_RET_TRAP | 7),
        ON(SYS_geteuid, SECCOMP_RET_TRACE | 9),
        ON(SYS_getegid, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

int main(void)
{
    on_siginfo(SIGSYS, trapped, 0);
    install();
    long result = syscall(SYS_getuid);
    say("errno %ld %d", result, errno);
    syscall(SYS_getgid);
    result = syscall(SYS_geteuid);
    say("trace without a tracer %ld %s", result, strerror(errno));
    pid_t child = MUST(fork());
    if (child == 0) {
        say("inherited %ld", syscall(SYS_getuid));
        execl("/bin/sh", "sh", "-c", "echo filter survives exec", NULL);
    }
    say("%s", reaped(child));
    mark();
    syscall(SYS_getegid);
    return 0;
}
