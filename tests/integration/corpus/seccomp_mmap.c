// The program's own filter on the calls that htrun watches: mmap, mprotect and rt_sigaction refused by errno.
#include "subject.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#define ON(number, action) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, action)

int main(void)
{
    int file = MUST(memfd_create("file", 0));
    MUST(ftruncate(file, 4096));
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ON(SYS_mmap, SECCOMP_RET_ERRNO | ENFILE),
        ON(SYS_mprotect, SECCOMP_RET_ERRNO | EXDEV),
        ON(SYS_rt_sigaction, SECCOMP_RET_ERRNO | ENOTTY),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
    void *where = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
    say("shared mmap %d %s", where == MAP_FAILED, strerror(errno));
    where = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say("private mmap %d %s", where == MAP_FAILED, strerror(errno));
    int result = mprotect(where, 4096, PROT_READ);
    say("mprotect %d %s", result, strerror(errno));
    struct sigaction action = {.sa_handler = SIG_IGN};
    result = sigaction(SIGSEGV, &action, NULL);
    say("sigaction %d %s", result, strerror(errno));
    mark();
    return 0;
}
