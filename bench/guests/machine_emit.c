/*
 * A guest in a whole machine: the events of emit.c, and another clock.
 *
 * The machine's clock is the emulator's, and its rate is an estimate by the machine's kernel at boot. So a reading of
 * the clock is an event with a separate index, and its time is the host's. The figures are computed from the trace;
 * those that measure.h prints are meaningless. There is one thread only.
 *
 * Before each burst, the same loop stores to ordinary memory, which shows the cost of the emulated code alone.
 */
#define MEASURE_OWN_CLOCK
#include "emit_loop.h"

enum { CLOCK_INDEX = 1 };

static uint64_t own_slot[4];
static uint32_t own_control[QEMU_HYPERTRACE_BIAS_ + 1];

static inline double now_ns(void)
{
    qemu_hypertrace(CLOCK_INDEX);
    return 0;
}

/* A separate function, so that its instructions never emit and are never patched. */
__attribute__((noinline)) static void store_aside(uint64_t count)
{
    emit_from(own_slot, 0, count);
}

static void emit_events(struct worker *worker, uint64_t count)
{
    volatile uint32_t *target = qemu_hypertrace_target_;
    now_ns();
    qemu_hypertrace_target_ = own_control;
    store_aside(count);
    qemu_hypertrace_target_ = target;
    now_ns();
    emit_from(worker->own, worker->number, count);
}

int main(int argc, char **argv)
{
    return measure_main(argc, argv);
}
