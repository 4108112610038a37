// The processor time of the process and of its children is counted separately and correctly.
#include "subject.h"
#include <sys/times.h>

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

int main(void)
{
    struct rusage used;
    pid_t child = MUST(fork());
    if (child == 0) {
        do
            getrusage(RUSAGE_SELF, &used);
        while (seconds(used.ru_utime) + seconds(used.ru_stime) < 0.2);
        mark();
        _exit(0);
    }
    int status;
    MUST(wait4(child, &status, 0, &used));
    double of_child = seconds(used.ru_utime) + seconds(used.ru_stime);
    say("%s, child used 0.2 s %d, not 2 s %d", described(status), of_child >= 0.19, of_child < 2);
    getrusage(RUSAGE_CHILDREN, &used);
    double of_children = seconds(used.ru_utime) + seconds(used.ru_stime);
    say("the children's total is the child's %d", of_children >= of_child - 0.001 && of_children < of_child + 0.01);
    struct tms ticks;
    times(&ticks);
    say("ticks %d", ticks.tms_cutime + ticks.tms_cstime >= 15);
    return 0;
}
