/* Functions for a disassembler: each emits one event. */
#include <qemu-hypertrace.h>

void emit_index(uint64_t index);
void emit_constant(void);
void emit_two(uint64_t *data);

void emit_index(uint64_t index)
{
    qemu_hypertrace(index);
}

void emit_constant(void)
{
    qemu_hypertrace(7);
}

/* The compiler must move no argument after its event, and none before the previous event. */
void emit_two(uint64_t *data)
{
    data[0] = 0x11;
    qemu_hypertrace(1);
    data[0] = 0x22;
    qemu_hypertrace(2);
}
