/* Maps the channel after it has installed a sandbox that kills it for mprotect, seccomp and rt_sigaction. */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <qemu-hypertrace.h>

#define KILLED_FOR(number)                                                                                             \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

int main(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        KILLED_FOR(SYS_mprotect),
        KILLED_FOR(SYS_seccomp),
        KILLED_FOR(SYS_rt_sigaction),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    signal(SIGSEGV, SIG_IGN);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return 1;
    if (qemu_hypertrace_init(NULL) != 0)
        return 2;
    for (int i = 0; i < 3; i++) {
        qemu_hypertrace_data(0)[0] = (uint64_t)i;
        qemu_hypertrace(0);
    }
    puts("alive");
    return 0;
}
