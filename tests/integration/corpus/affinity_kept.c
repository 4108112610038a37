// htrun does not change the processors that a program chooses for itself and its threads.
#include "subject.h"

static int allowed(void)
{
    cpu_set_t now;
    MUST(sched_getaffinity(0, sizeof now, &now));
    int bits = 0;
    for (int cpu = 0; cpu < 8; cpu++)
        bits |= (CPU_ISSET(cpu, &now) != 0) << cpu;
    return bits;
}

static void *in_thread(void *argument)
{
    int cpu = (int)(long)argument;
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(cpu, &only);
    int refused = sched_setaffinity(0, sizeof only, &only) != 0;
    for (int i = 0; i < 50; i++)
        mark();
    int there = refused || sched_getcpu() == cpu;
    return (void *)(long)(there && (refused || allowed() == 1 << cpu));
}

int main(void)
{
    int before = allowed();
    for (long cpu = 0; cpu < 2; cpu++) {
        pthread_t thread;
        void *kept;
        MUST0(pthread_create(&thread, NULL, in_thread, (void *)cpu));
        MUST0(pthread_join(thread, &kept));
        say("thread kept its processor %ld", (long)kept);
    }
    say("process as before %d", allowed() == before);
    return 0;
}
