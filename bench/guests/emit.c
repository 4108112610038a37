/* A guest that emits events. */
#include "emit_loop.h"

static void emit_events(struct worker *worker, uint64_t count)
{
    emit_from(worker->own, worker->number, count);
}

int main(int argc, char **argv)
{
    return measure_main(argc, argv);
}
