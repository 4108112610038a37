/* Emits events of a guest with the guest library. For each event, four arguments are written to a slot, and the index
 * of the slot is stored. */
#include "../measure.h"
#include <qemu-hypertrace.h>

static void emitter_open(struct worker *worker)
{
    if (qemu_hypertrace_init(NULL) != 0)
        die("qemu_hypertrace_init");
    worker->own = qemu_hypertrace_data(worker->number);
}

__attribute__((always_inline)) static inline void emit_from(uint64_t *slot, uint64_t index, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        slot[0] = i;
        slot[1] = i + 1;
        slot[2] = i + 2;
        slot[3] = i + 3;
        qemu_hypertrace(index);
    }
}
