/*
 * Times work of known length: as spans, and, alternately, without any event, many times between two readings of the time
 * stamp counter, which give the true length. The two alternate so that changes of the processor's speed affect both.
 *
 * Prints a line for each span: its name and its true length in ticks of the counter.
 */
#include <qemu-hypertrace.h>

#include <stdio.h>
#include <stdlib.h>
#include <x86intrin.h>

enum { MOST_SPANS = 100000, CALIBRATION_PAIRS = 20, ALONE = 20, JITTER = 128 /* ticks */ };

static uint64_t *data;
static uint32_t state = 1;      /* of the random numbers */
static struct { const char *name; double ticks; } truths[MOST_SPANS];
static int spans;
static uint64_t longest_alone;  /* ticks */

static uint64_t now(void)
{
    uint64_t ticks;

    _mm_lfence();
    ticks = __rdtsc();
    _mm_lfence();
    return ticks;
}

static uint32_t chance(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

/* If a counter advances in steps, it could have the same phase in each iteration of a regular loop. */
static void pause(void)
{
    for (uint32_t rounds = chance() % 128; rounds > 0; rounds--) {
        __asm__ __volatile__("" ::: "memory");
    }
}

/* Multiplications, each of which needs the result of the previous one: 24 cycles per iteration, on all x86-64
 * processors of the last ten years. */
#define CHAIN(value, turns) do { \
        uint64_t left = (turns); \
        __asm__ __volatile__("1:\n\t.rept 8\n\timul %0, %0\n\t.endr\n\tdec %1\n\tjnz 1b" \
                             : "+r" (value), "+r" (left) : : "cc"); \
    } while (0)

/*
 * Reads the counter until a given time, and returns the duration that it has measured itself. A random number of
 * iterations is added. Otherwise the processor would learn to predict the end of the loop, but not equally well with
 * and without a span.
 */
__attribute__((noinline)) static uint64_t spin(uint64_t ticks)
{
    uint64_t begin, late;

    ticks += chance() % JITTER;
    begin = __rdtsc();
    do {
        late = __rdtsc();
    } while (late - begin < ticks);
    return late - begin;
}

/* The ticks that a chain takes, from many chains in a row. Each chain waits for the previous one. */
static double chain_alone(uint64_t turns)
{
    uint64_t value = 3, begin = now(), middle;

    for (int i = 0; i < ALONE; i++) {
        CHAIN(value, turns);
    }
    middle = now();
    CHAIN(value, turns);
    /* The readings themselves take the same time in both measurements. */
    return (double)(int64_t)(middle - begin - (now() - middle)) / (ALONE - 1);
}

/*
 * The ticks that a spin takes in addition to those that it measures itself. They do not depend on its length, and short
 * spins are rarely interrupted.
 */
static double spin_alone(uint64_t ticks)
{
    uint64_t begin = now(), own = 0, middle, last;

    for (int i = 0; i < ALONE; i++) {
        own += spin(ticks);
    }
    middle = now();
    last = spin(ticks);
    return (double)(int64_t)(middle - begin - own - (now() - middle - last)) / (ALONE - 1);
}

static void tell(const char *name, double ticks)
{
    truths[spans].name = name;
    truths[spans++].ticks = ticks;
}

#define SPAN(number, work) do { \
        pause(); \
        data[0] = 2 * (number) + 1; \
        qemu_hypertrace(0); \
        work; \
        data[0] = 2 * (number) + 2; \
        qemu_hypertrace(0); \
    } while (0)

static void chains(int number, const char *name, uint64_t turns, int count)
{
    double ticks = chain_alone(turns);
    uint64_t value = 3;

    for (int i = 0; i < count; i++) {
        SPAN(number, CHAIN(value, turns));
        tell(name, ticks);
    }
}

static void spins(int number, const char *name, uint64_t ticks, int count)
{
    double beyond = spin_alone(ticks < longest_alone ? ticks : longest_alone);

    for (int i = 0; i < count; i++) {
        uint64_t own;

        SPAN(number, own = spin(ticks));
        tell(name, (double)own + beyond);
    }
}

int main(int argc, char **argv)
{
    int turns = argc > 2 ? atoi(argv[2]) : 0;
    double ns = argc > 1 ? strtod(argv[1], NULL) : 0;   /* ticks in a nanosecond */

    if (ns <= 0 || turns <= 0 || qemu_hypertrace_init(NULL) != 0) {
        perror("timing_truth");
        return 1;
    }
    data = qemu_hypertrace_data(0);
    longest_alone = (uint64_t)(1000 * ns);
    for (int turn = 0; turn < turns; turn++) {
        qemu_hypertrace_calibrate(0, CALIBRATION_PAIRS);
        chains(0, "chain50", 7, 20);
        chains(1, "chain100", 15, 20);
        chains(2, "chain300", 45, 20);
        chains(3, "chain1us", 150, 10);
        spins(4, "spin50", (uint64_t)(50 * ns), 20);
        spins(5, "spin100", (uint64_t)(100 * ns), 20);
        spins(6, "spin300", (uint64_t)(300 * ns), 20);
        spins(7, "spin1us", (uint64_t)(1000 * ns), 10);
        spins(8, "spin10us", (uint64_t)(10000 * ns), 2);
        if (turn % 4 == 0) {
            spins(9, "spin100us", (uint64_t)(100000 * ns), 1);
        }
        /* So often that the median is neither the first one, at which the sites trap, nor an interrupted one. */
        if (turn % 8 == 0) {
            spins(10, "spin1ms", (uint64_t)(1000000 * ns), 1);
        }
        chains(11, "bimodal", 45, 16);
        chains(11, "bimodal", 135, 4);
        chains(12, "tail", 45, 17);
        chains(12, "tail", 450, 2);
        chains(12, "tail", 4500, 1);
        chains(13, "drift", 200 + 40 * turn / turns, 20);
    }
    for (int i = 0; i < spans; i++) {
        printf("%s %.2f\n", truths[i].name, truths[i].ticks);
    }
    return 0;
}
