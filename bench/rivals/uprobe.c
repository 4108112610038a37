/*
 * A site for a uprobe: `uprobe_site` is a nop; when it is reached, the four arguments are in registers, as in a USDT
 * probe of <sys/sdt.h>. SITE_NOP=1 is the one-byte nop of USDT, 5 the five-byte nop that Linux 6.18 turns into a call.
 */
#include "../measure.h"

#if SITE_NOP == 5
#define NOP ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00"
#else
#define NOP "nop"
#endif

static void emitter_open(struct worker *worker)
{
    (void)worker;
}

/* Not inlined, because the site must exist exactly once. */
__attribute__((noinline)) static void emit_one(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    __asm__ volatile(".globl uprobe_site\nuprobe_site: " NOP ::"D"(a), "S"(b), "d"(c), "c"(d));
}

static void emit_events(struct worker *worker, uint64_t count)
{
    (void)worker;
    for (uint64_t i = 0; i < count; i++)
        emit_one(i, i + 1, i + 2, i + 3);
}

int main(int argc, char **argv)
{
    return measure_main(argc, argv);
}
