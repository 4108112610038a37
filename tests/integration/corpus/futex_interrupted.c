// futex: FUTEX_WAIT fails with EINTR after a handler, is restarted if it has a bitset, is woken by FUTEX_WAKE, and
// times out.
// build: static
#include "subject.h"
#include <linux/futex.h>

static int *word;

static void handler(int number)
{
    (void)number;
    mark();
}

static long futex(int operation, int value, struct timespec *time)
{
    return syscall(SYS_futex, word, operation, value, time, NULL, FUTEX_BITSET_MATCH_ANY);
}

int main(void)
{
    word = (int *)MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_t child = MUST(fork());
    if (child == 0) {
        on_signal(SIGUSR1, handler, 0);
        long result = futex(FUTEX_WAIT, 0, NULL);
        say("interrupted: %ld %s", result, strerror(errno));
        __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
        result = futex(FUTEX_WAIT, 1, NULL);
        say("woken: %ld", result);
        result = futex(FUTEX_WAIT, 0, NULL);
        say("other value: %ld %s", result, strerror(errno));
        struct timespec time = {0, 10000000};
        result = futex(FUTEX_WAIT, 1, &time);
        say("timed out: %ld %s", result, strerror(errno));
        _exit(0);
    }
    await_blocked(child, SYS_futex);
    kill(child, SIGUSR1);
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) != 1)
        sched_yield();
    while (futex(FUTEX_WAKE, 1, NULL) != 1)
        sched_yield();
    say("%s", reaped(child));
    return 0;
}
