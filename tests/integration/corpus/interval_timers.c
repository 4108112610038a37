// setitimer: ITIMER_REAL repeats, ITIMER_VIRTUAL and ITIMER_PROF count processor time; alarm interrupts pause.
#include "subject.h"

static volatile sig_atomic_t counts[65];

static void count(int number)
{
    counts[number]++;
    mark();
}

static void spin_until(int number, int wanted)
{
    while (counts[number] < wanted)
        ;
}

int main(void)
{
    on_signal(SIGALRM, count, 0);
    on_signal(SIGVTALRM, count, 0);
    on_signal(SIGPROF, count, 0);
    struct itimerval often = {{0, 5000}, {0, 5000}}, none = {{0, 0}, {0, 0}};
    MUST(setitimer(ITIMER_REAL, &often, NULL));
    while (counts[SIGALRM] < 5)
        pause();
    MUST(setitimer(ITIMER_REAL, &none, NULL));
    MUST(setitimer(ITIMER_VIRTUAL, &often, NULL));
    spin_until(SIGVTALRM, 3);
    MUST(setitimer(ITIMER_VIRTUAL, &none, NULL));
    MUST(setitimer(ITIMER_PROF, &often, NULL));
    spin_until(SIGPROF, 3);
    MUST(setitimer(ITIMER_PROF, &none, NULL));
    say("all three timers ran");
    counts[SIGALRM] = 0;
    alarm(1);
    int result = pause();
    say("pause %d %s, alarms %d, left %u", result, strerror(errno), counts[SIGALRM], alarm(0));
    return 0;
}
