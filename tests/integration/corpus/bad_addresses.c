// Calls whose arguments are at unmapped addresses, or partly after the end of a page, return the kernel's errors.
// build: m32
#include "subject.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

static char *end;

static void told(const char *name, long result)
{
    say("%s: %s", name, result == -1 ? strerror(errno) : "done");
}

/* Each call gets @address where the kernel expects a pointer. */
static void ask(char *address)
{
    told("rt_sigprocmask", syscall(SYS_rt_sigprocmask, SIG_BLOCK, address, NULL, 8));
    told("rt_sigaction", syscall(SYS_rt_sigaction, SIGSEGV, address, NULL, 8));
    told("execve", syscall(SYS_execve, address, address, address));
    told("execve, argv", syscall(SYS_execve, "/bin/true", address, NULL));
    told("execveat", syscall(SYS_execveat, AT_FDCWD, address, address, NULL, 0));
    told("prctl", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, address));
    told("seccomp", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, address));
    told("sched_setaffinity", syscall(SYS_sched_setaffinity, 0, 8, address));
    told("clone3", syscall(SYS_clone3, address, 64));
#ifdef __i386__
    told("sigaction", syscall(SYS_sigaction, SIGSEGV, address, NULL));
    told("sigprocmask", syscall(SYS_sigprocmask, SIG_BLOCK, address, NULL));
    told("old mmap", syscall(SYS_mmap, address));
#endif
    mark();
}

int main(void)
{
    long page = sysconf(_SC_PAGESIZE);
    char *memory = (char *)MUST(mmap(NULL, (size_t)(2 * page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    end = memory + page;
    memset(memory, 'x', (size_t)page);
    MUST(munmap(end, (size_t)page));
    for (int left = 0; left < 4; left++)
        ask(end - left);
    ask((char *)-4096L);
    /* None of these calls has had an effect. */
    mask(SIG_UNBLOCK, SIGUSR1);
    on_signal(SIGSEGV, SIG_DFL, 0);
    mark();
    return 0;
}
