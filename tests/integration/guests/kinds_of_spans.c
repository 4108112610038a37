/*
 * kinds_of_spans SEED: emits SPANS spans of each of four kinds, whose lengths differ from span to span:
 *
 *   independent (arg1 1, 2): at random; correlated (3, 4): each is similar to the one before; drifting (5, 6): they get
 *   longer or shorter during the run; bimodal (7, 8): two lengths, and in some runs more of the longer ones
 *
 * The kinds take turns, so that all of them cover the whole run.
 */
#include <qemu-hypertrace.h>

#include <stdint.h>
#include <stdlib.h>

enum { SPANS = 300, LENGTH = 4000, UNIFORMS = 12 };

static uint64_t state;

/* From 0 to 1: xorshift64* (Vigna, An experimental exploration of Marsaglia's xorshift generators, 2016). */
static double uniform(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (double)(state * 0x2545F4914F6CDD1DULL >> 11) / (double)(1ULL << 53);
}

/* A normal distribution with the standard deviation 1, roughly: the sum of uniform ones. */
static double normal(void)
{
    double sum = -UNIFORMS / 2.0;
    for (int i = 0; i < UNIFORMS; i++)
        sum += uniform();
    return sum;
}

static void work(double length)
{
    static volatile unsigned sum;
    for (unsigned i = 0; i < (unsigned)length; i++)
        sum += i;
}

static void emit(uint64_t event)
{
    qemu_hypertrace_data(0)[0] = event;
    qemu_hypertrace(0);
}

static void span(uint64_t kind, double relative)
{
    emit(2 * kind + 1);
    work(relative > 0.5 ? relative * LENGTH : 0.5 * LENGTH);
    emit(2 * kind + 2);
}

int main(int argc, char **argv)
{
    if (argc != 2 || qemu_hypertrace_init(NULL) != 0)
        return 1;
    state = (strtoull(argv[1], NULL, 10) + 1) * 0x9E3779B97F4A7C15ULL;
    for (int i = 0; i < 100; i++)
        uniform();
    double previous = 0, slope = 0.2 * uniform() - 0.1, share = uniform() < 0.8 ? 0.45 : 0.55;
    for (int i = 0; i < SPANS; i++) {
        previous = 0.95 * previous + 0.03 * normal();
        span(0, 1 + 0.1 * normal());
        span(1, 1 + previous);
        span(2, 1 + slope * i / SPANS + 0.03 * normal());
        span(3, (uniform() < share ? 1.3 : 1) + 0.01 * normal());
    }
    return 0;
}
