// All resource limits, the nice value, the scheduling policy, the permitted processors, the umask and the directory are
// those of the caller.
#include "subject.h"

int main(void)
{
    for (int which = 0; which < RLIMIT_NLIMITS; which++) {
        struct rlimit limit;
        MUST(getrlimit((__rlimit_resource_t)which, &limit));
        say("limit %d: %#lx %#lx", which, (unsigned long)limit.rlim_cur, (unsigned long)limit.rlim_max);
    }
    cpu_set_t processors;
    MUST(sched_getaffinity(0, sizeof processors, &processors));
    for (int cpu = 0; cpu < 8; cpu++)
        say("cpu %d allowed %d", cpu, CPU_ISSET(cpu, &processors) != 0);
    mode_t mask_now = umask(0);
    char directory[PATH_MAX];
    say("umask %03o, nice %d, policy %d", mask_now, getpriority(PRIO_PROCESS, 0), sched_getscheduler(0));
    say("io priority %ld", (long)syscall(SYS_ioprio_get, 1, 0));
    say("directory ends in %s", strrchr(getcwd(directory, sizeof directory), '/'));
    return 0;
}
