/* hazard_places CASE: sites at which a patch depends on the surrounding code. */
#include "hazard.h"

#define EVENTS 1000

/* The bytes of each site are given: 89 77 00 is movl %esi,0(%rdi), c7 87 is movl $imm32,disp32(%rdi). */
__asm__(".text\n"
        ".balign 4096\n"
        /* The last byte of the store is the last byte of the page. */
        ".skip 4096 - 3, 0x90\n"
        ".globl page_end\n"
        "page_end: .byte 0x89, 0x77, 0x00\n"
        "ret\n"
        ".balign 4096\n"
        ".skip 4096 - 1, 0x90\n"
        ".globl page_across_short\n"
        "page_across_short: .byte 0x89, 0x77, 0x00\n"
        "ret\n"
        ".balign 4096\n"
        ".skip 4096 - 4, 0x90\n"
        ".globl page_across_long\n"
        "page_across_long: .byte 0x40, 0x89, 0xb7, 0x00, 0x00, 0x00, 0x00\n"
        "ret\n"
        ".balign 64\n"
        /* A loop begins after the store, so its first byte is the target of a jump. */
        ".globl before_target\n"
        "before_target: movl $3, %ecx\n"
        "jmp 1f\n"
        "2: decl %ecx\n"
        "jz 3f\n"
        "jmp 1f\n"
        ".globl before_target_site\n"
        "before_target_site: .byte 0x89, 0x77, 0x00\n"
        "1: testl %ecx, %ecx\n"
        "js 4f\n"
        "jmp 2b\n"
        "3: movl $-1, %ecx\n"
        "jmp before_target_site\n"
        "4: ret\n"
        ".balign 64\n"
        ".globl before_return\n"
        "before_return: .byte 0x89, 0x77, 0x00\n"
        "ret\n"
        ".byte 0x0f, 0x1f, 0x40, 0x00\n"
        ".balign 64\n"
        ".globl before_call\n"
        "before_call: push %rbx\n"
        ".globl before_call_site\n"
        "before_call_site: .byte 0x89, 0x77, 0x00\n"
        "call 5f\n"
        "pop %rbx\n"
        "ret\n"
        "5: ret\n"
        ".balign 64\n"
        /* The jump at the first site ends in the bytes of the second site. */
        ".globl adjacent\n"
        "adjacent: .byte 0x89, 0x77, 0x00\n"
        ".globl adjacent_second\n"
        "adjacent_second: .byte 0x89, 0x77, 0x00\n"
        "leal 1(%rsi), %eax\n"
        "ret\n"
        ".balign 64\n"
        ".globl two_bytes\n"
        "two_bytes: .byte 0x89, 0x37\n"
        "ret\n"
        ".byte 0x48, 0x8d, 0x45, 0xf0\n"
        ".balign 64\n");

extern emitter page_end, page_across_short, page_across_long, before_target, before_return, before_call, two_bytes, adjacent, adjacent_second;
extern const char before_target_site[], before_call_site[];

static void emit_at(const char *what, const void *where, emitter *how)
{
    int i;

    for (i = 0; i < EVENTS; i++) {
        emit(how);
    }
    site(what, where);
}

/* The last instruction of a mapping. The next instruction is in another mapping with other permissions. */
static char *mapping_end(const void *code, size_t size)
{
    char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert(memory != MAP_FAILED);
    memset(memory, 0xc3, 2 * PAGE);
    memcpy(memory + PAGE - size, code, size);
    assert(mprotect(memory, PAGE, PROT_READ | PROT_EXEC) == 0);
    assert(mprotect(memory + PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
    return memory + PAGE - size;
}

/* As mapping_end(), but the store itself is in both mappings. */
static char *mapping_across(const void *code, size_t size)
{
    char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert(memory != MAP_FAILED);
    memset(memory, 0xc3, 2 * PAGE);
    memcpy(memory + PAGE - 2, code, size);
    assert(mprotect(memory, PAGE, PROT_READ | PROT_EXEC) == 0);
    assert(mprotect(memory + PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
    return memory + PAGE - 2;
}

static volatile sig_atomic_t traps;

static void count_traps(int number)
{
    (void)number;
    traps++;
}

int main(int argc, char **argv)
{
    static const char short_store[] = {'\x89', '\x77', '\x00'};
    static const char long_store[] = {'\x40', '\x89', '\xb7', '\x00', '\x00', '\x00', '\x00'};
    /* int3 after the store: a breakpoint of a debugger. */
    static const char with_breakpoint[] = {'\x89', '\x77', '\x00', '\xcc', '\xc3'};
    const char *name = argc > 1 ? argv[1] : "";
    char *code;

    open_channel();
    if (strcmp(name, "page_end") == 0) {
        emit_at("any", page_end, page_end);
    } else if (strcmp(name, "page_across") == 0) {
        emit_at("any", page_across_short, page_across_short);
        emit_at("jump", page_across_long, page_across_long);
    } else if (strcmp(name, "before_target") == 0) {
        emit_at("any", before_target_site, before_target);
    } else if (strcmp(name, "before_return") == 0) {
        emit_at("any", before_return, before_return);
    } else if (strcmp(name, "before_call") == 0) {
        emit_at("any", before_call_site, before_call);
    } else if (strcmp(name, "two_bytes") == 0) {
        emit_at("any", two_bytes, two_bytes);
    } else if (strcmp(name, "adjacent") == 0) {
        int i;

        for (i = 0; i < 50; i++) {
            int first;

            for (first = 0; first < 2; first++) {
                /* Each of the two sites is patched first in some rounds. Each call of the first function emits twice.
                 */
                if (first == i % 2) {
                    qemu_hypertrace_data(0)[2] = 0;
                    adjacent(control, 0);
                    adjacent(control, 0);
                    emitted += 4;
                } else {
                    adjacent_second(control, 0);
                    adjacent_second(control, 0);
                    emitted += 2;
                }
            }
            assert(qemu_hypertrace_fini() == 0);
            open_channel();
        }
    } else if (strcmp(name, "mapping_end") == 0) {
        code = mapping_end(short_store, sizeof short_store);
        emit_at("refused", code, (emitter *)code);
        code = mapping_end(long_store, sizeof long_store);
        emit_at("jump", code, (emitter *)code);
        code = mapping_across(long_store, sizeof long_store);
        emit_at("refused", code, (emitter *)code);
    } else if (strcmp(name, "breakpoint") == 0) {
        struct sigaction count = {.sa_handler = count_traps};

        code = generated(with_breakpoint, sizeof with_breakpoint, 0);
        assert(sigaction(SIGTRAP, &count, NULL) == 0);
        emit_at("refused", code, (emitter *)code);
        assert(traps == EVENTS);
    } else {
        fprintf(stderr, "unknown case %s\n", name);
        return 2;
    }
    return done();
}
