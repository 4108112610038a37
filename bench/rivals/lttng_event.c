/* Each event is an LTTng-UST tracepoint with four arguments. */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "lttng_provider.h"

#include "../measure.h"

static void emitter_open(struct worker *worker)
{
    (void)worker;
}

static void emit_events(struct worker *worker, uint64_t count)
{
    (void)worker;
    for (uint64_t i = 0; i < count; i++)
        lttng_ust_tracepoint(htrun_bench, event, i, i + 1, i + 2, i + 3);
}

int main(int argc, char **argv)
{
    return measure_main(argc, argv);
}
