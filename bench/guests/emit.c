/* A guest: each event is one slot of four arguments and one store of its index, by the guest library. */
#include "../measure.h"
#include <qemu-hypertrace.h>

static void emitter_open(struct worker *worker)
{
    if (qemu_hypertrace_init(NULL) != 0)
        die("qemu_hypertrace_init");
    worker->own = qemu_hypertrace_data(worker->number);
}

static void emit_events(struct worker *worker, uint64_t count)
{
    uint64_t *slot = worker->own;
    for (uint64_t i = 0; i < count; i++) {
        slot[0] = i;
        slot[1] = i + 1;
        slot[2] = i + 2;
        slot[3] = i + 3;
        qemu_hypertrace(worker->number);
    }
}

int main(int argc, char **argv)
{
    return measure_main(argc, argv);
}
