/* hazard_memory CASE: a patched program that uses its memory in various ways. */
#include "hazard.h"

#include <sys/resource.h>

__asm__(".text\n"
        ".balign 64\n"
        /* copy_words(to, from, count): an ordinary function that may write to any memory. */
        ".globl copy_words\n"
        "copy_words:\n"
        "testq %rdx, %rdx\n"
        "jz 2f\n"
        "1: movl (%rsi), %eax\n"
        ".globl copy_words_site\n"
        "copy_words_site: .byte 0x89, 0x87, 0x00, 0x00, 0x00, 0x00\n"
        "addq $4, %rsi\n"
        "addq $4, %rdi\n"
        "decq %rdx\n"
        "jnz 1b\n"
        "2: ret\n"
        ".balign 64\n"
        /* on_stack(control, index, stack): with the stack pointer at @stack. */
        ".globl on_stack\n"
        "on_stack:\n"
        "movq %rsp, %rcx\n"
        "movq %rdx, %rsp\n"
        ".globl on_stack_site\n"
        "on_stack_site: .byte 0x89, 0xb7, 0x00, 0x00, 0x00, 0x00\n"
        "movq %rcx, %rsp\n"
        "ret\n"
        ".balign 64\n"
        ".globl plain_store\n"
        "plain_store: .byte 0x89, 0xb7, 0x00, 0x00, 0x00, 0x00\n"
        "ret\n"
        ".balign 64\n"
        /* flags_after(control, index): 0 if flags and red zone are as before the store. */
        ".globl flags_after\n"
        "flags_after:\n"
        "movabs $0x0123456789abcdef, %rax\n"
        "movq %rax, -8(%rsp)\n"
        "movq %rax, -64(%rsp)\n"
        "movq %rax, -128(%rsp)\n"
        "movl $0x80000000, %ecx\n"
        "addl %ecx, %ecx\n"              /* carry, overflow, zero */
        ".globl flags_after_site\n"
        "flags_after_site: .byte 0x89, 0xb7, 0x00, 0x00, 0x00, 0x00\n"
        "jnc 3f\n"
        "jno 3f\n"
        "jnz 3f\n"
        "js 3f\n"
        "jnp 3f\n"
        "cmpq %rax, -8(%rsp)\n"
        "jne 3f\n"
        "cmpq %rax, -64(%rsp)\n"
        "jne 3f\n"
        "cmpq %rax, -128(%rsp)\n"
        "jne 3f\n"
        "xorl %eax, %eax\n"
        "ret\n"
        "3: movl $1, %eax\n"
        "ret\n"
        ".balign 64\n");

extern void copy_words(volatile uint32_t *to, const uint32_t *from, size_t count);
extern void on_stack(volatile uint32_t *control, uint32_t index, void *stack);
extern int flags_after(volatile uint32_t *control, uint32_t index);
extern emitter plain_store;
extern const char copy_words_site[], on_stack_site[], flags_after_site[];

static const char long_store[] = {'\x40', '\x89', '\xb7', '\x00', '\x00', '\x00', '\x00', '\xc3'};

/* Ordinary stores and events by the same instruction, in several threads. */
static void *copy(void *argument)
{
    uint32_t index = 10 + (uintptr_t)argument, from[64], to[64];
    int i, turn;

    for (turn = 0; turn < 3000; turn++) {
        for (i = 0; i < 64; i++) {
            from[i] = turn * 64 + i;
        }
        copy_words(to, from, 64);
        assert(memcmp(to, from, sizeof to) == 0);
        qemu_hypertrace_data(index)[0] = emitted++;
        copy_words(control, &index, 1);
    }
    tell();
    return NULL;
}

static void shared_helper(void)
{
    pthread_t threads[3];
    uintptr_t i;

    for (i = 0; i < 3; i++) {
        assert(pthread_create(&threads[i], NULL, copy, (void *)i) == 0);
    }
    for (i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    site("jump", copy_words_site);
}

/* The memory below the red zone, which a trampoline needs, is a guard page. Then the original store is executed. */
static void guard_page(void)
{
    char *stack = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static volatile uint32_t plain;
    int i;

    assert(stack != MAP_FAILED && mprotect(stack, PAGE, PROT_NONE) == 0);
    for (i = 0; i < 500; i++) {
        qemu_hypertrace_data(1)[0] = emitted++;
        on_stack(control, 1, stack + 2 * PAGE);
        /* The guard page begins directly below, or at the place of the third saved register, or of the flags. */
        qemu_hypertrace_data(1)[0] = emitted++;
        on_stack(control, 1, stack + PAGE + 8 * (i % 26));
        on_stack(&plain, i, stack + PAGE + 8 * (i % 26));
        assert(plain == (uint32_t)i);
    }
    site("jump", on_stack_site);
}

static void flags_and_red_zone(void)
{
    int i;

    for (i = 0; i < 1000; i++) {
        qemu_hypertrace_data(1)[0] = emitted++;
        assert(flags_after(control, 1) == 0);
    }
    site("jump", flags_after_site);
}

static unsigned sum(const char *code, size_t size)
{
    unsigned result = 0;

    while (size-- > 0) {
        result = result * 31 + (unsigned char)*code++;
    }
    return result;
}

static void own_code(void)
{
    unsigned before = sum((const char *)plain_store, 8);
    int i;

    for (i = 0; i < 100; i++) {
        emit(plain_store);
    }
    printf("code %s\n", sum((const char *)plain_store, 8) == before ? "unchanged" : "changed");
    printf("first byte %#x\n", *(unsigned char *)plain_store);
}

/* No memory of the program is both writable and executable, in one mapping or in two. */
static void w_xor_x(void)
{
    char line[512], permissions[8];
    int i, trampolines = 0, rings = 0;
    FILE *maps;

    for (i = 0; i < 100; i++) {
        emit(plain_store);
    }
    maps = fopen("/proc/self/maps", "r");
    assert(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        assert(sscanf(line, "%*s %7s", permissions) == 1);
        assert(permissions[1] != 'w' || permissions[2] != 'x');
        if (strstr(line, "htrun-trampolines") != NULL) {
            assert(strcmp(permissions, "r-xs") == 0);
            trampolines++;
        } else if (strstr(line, "htrun-rings") != NULL) {
            assert(permissions[2] == '-');
            rings++;
        }
    }
    fclose(maps);
    assert(trampolines > 0 && rings == 1);
}

/* The channel is unmapped and mapped again, at the same address and at others. In between, its address is ordinary
 * memory. */
static void remapped(void)
{
    volatile uint32_t *former;
    int i, j;
    char *page;

    for (i = 0; i < 200; i++) {
        for (j = 0; j < 10; j++) {
            emit(plain_store);
        }
        former = control;
        assert(qemu_hypertrace_fini() == 0);
        page = mmap((void *)((uintptr_t)former & -PAGE), PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                    -1, 0);
        assert(page != MAP_FAILED);
        plain_store(former, i);
        assert(*former == (uint32_t)i);
        if (i % 3 != 0) {
            munmap(page, PAGE);
        }
        open_channel();
    }
    site("jump", (const void *)plain_store);
}

/* 10,000 sites. */
static void many_sites(void)
{
    enum { SITES = 10000, ROOM = 16 };
    char *code = mmap(NULL, SITES * ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int i, turn;

    assert(code != MAP_FAILED);
    for (i = 0; i < SITES; i++) {
        memcpy(code + i * ROOM, long_store, sizeof long_store);
    }
    assert(mprotect(code, SITES * ROOM, PROT_READ | PROT_EXEC) == 0);
    for (turn = 0; turn < 2; turn++) {
        for (i = 0; i < SITES; i++) {
            emit((emitter *)(code + i * ROOM));
        }
    }
    site("jump", code);
    site("jump", code + (SITES - 1) * ROOM);
}

static void *thread_of_many(void *index)
{
    emit_as(plain_store, (uintptr_t)index);
    emit_as(plain_store, (uintptr_t)index);
    tell();
    return NULL;
}

static void many_threads(void)
{
    pthread_t threads[4];
    uintptr_t j;
    int i;

    for (i = 0; i < 10000 / 4; i++) {
        for (j = 0; j < 4; j++) {
            assert(pthread_create(&threads[j], NULL, thread_of_many, (void *)j) == 0);
        }
        for (j = 0; j < 4; j++) {
            pthread_join(threads[j], NULL);
        }
    }
    site("jump", (const void *)plain_store);
}

/* All memory that a jump could reach is in use, so the site keeps trapping. */
static void no_window(void)
{
    const uintptr_t reach = UINT64_C(0x81000000);
    char *code = generated(long_store, sizeof long_store, 0);
    uintptr_t low = ((uintptr_t)code - reach) & -PAGE, high = ((uintptr_t)code + reach) & -PAGE, size, address;
    int i;

    for (size = UINT64_C(1) << 30; size >= PAGE; size /= 2) {
        for (address = low & -size; address < high; address += size) {
            mmap((void *)address, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
            if (size < 1 << 20 && errno != EEXIST) {
                break;
            }
        }
        if (size == 1 << 21) {
            break;
        }
    }
    /* Map the rest, in the gaps between existing mappings. */
    for (i = 0; i < 2; i++) {
        FILE *maps = fopen("/proc/self/maps", "r");
        unsigned long last = low, start, end;
        static struct { uintptr_t start, end; } gaps[4096];
        int count = 0;
        char line[512];

        assert(maps != NULL);
        while (fgets(line, sizeof line, maps) != NULL && count < 4096) {
            assert(sscanf(line, "%lx-%lx", &start, &end) == 2);
            if (last < start && start <= high) {
                gaps[count].start = last;
                gaps[count++].end = start;
            }
            last = end > last ? end : last;
        }
        fclose(maps);
        while (count-- > 0) {
            mmap((void *)gaps[count].start, gaps[count].end - gaps[count].start, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        }
    }
    for (i = 0; i < 300; i++) {
        emit((emitter *)code);
    }
    site("refused", code);
}

/* The code at an address is replaced repeatedly. */
static void regenerated(void)
{
    static const char codes[3][16] = {
        {'\x40', '\x89', '\xb7', '\x00', '\x00', '\x00', '\x00', '\xc3'},            /* movl %esi,0(%rdi) */
        {'\x90', '\x90', '\x89', '\xb7', '\x00', '\x00', '\x00', '\x00', '\xc3'},    /* one byte further */
        {'\xc7', '\x87', '\x00', '\x00', '\x00', '\x00', '\x05', '\x00', '\x00', '\x00', '\xc3'},  /* movl $5,0(%rdi) */
    };
    char *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int i, j;

    assert(code != MAP_FAILED);
    for (i = 0; i < 600; i++) {
        assert(mprotect(code, PAGE, PROT_READ | PROT_WRITE) == 0);
        memcpy(code, codes[i % 3], 16);
        assert(mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0);
        for (j = 0; j < 10; j++) {
            emit_as((emitter *)code, 5);
        }
    }
}

/* An emulator translates so much code that its cache overflows and is discarded. */
static void code_cache(void)
{
    enum { FUNCTIONS = 5000, ROOM = 16, TURNS = 100 };
    char *code = mmap(NULL, FUNCTIONS * ROOM, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned turn, i;

    assert(code != MAP_FAILED);
    for (turn = 0; turn < TURNS; turn++) {
        for (i = 0; i < FUNCTIONS; i++) {
            unsigned value = turn * FUNCTIONS + i;

            code[i * ROOM] = '\xb8';            /* movl $value,%eax */
            memcpy(code + i * ROOM + 1, &value, sizeof value);
            code[i * ROOM + 5] = '\xc3';
        }
        for (i = 0; i < FUNCTIONS; i++) {
            assert(((unsigned (*)(void))(code + i * ROOM))() == turn * FUNCTIONS + i);
            if (i % 100 == 0) {
                emit(plain_store);
            }
        }
    }
}

/* Only the code after a short store is rewritten. A jump that had borrowed this code would then lead to a random
 * address. */
static void rewritten_behind(void)
{
    static const char code[] = {'\x89', '\x77', '\x00', '\xb8', '\x00', '\x00', '\x00', '\x00', '\xc3'};  /* ...; movl $0,%eax; ret */
    char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t i;
    int result;

    assert(memory != MAP_FAILED);
    memcpy(memory, code, sizeof code);
    for (i = 0; i < 300; i++) {
        int value = (int)(i * 0x01010101);

        memcpy(memory + 4, &value, 4);
        qemu_hypertrace_data(0)[0] = emitted++;
        result = ((int (*)(volatile uint32_t *, uint32_t))memory)(control, 0);
        assert(result == value);
    }
    site("refused", memory);
}

/* The guest sets a breakpoint at a patched site, and removes it. */
static volatile sig_atomic_t traps;

static void step_over(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)number;
    (void)info;
    traps++;
    registers[REG_RIP] += 6;
}

static void breakpoint_over(void)
{
    char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = {.sa_sigaction = step_over, .sa_flags = SA_SIGINFO};
    char first;
    int i;

    assert(memory != MAP_FAILED && sigaction(SIGTRAP, &action, NULL) == 0);
    memcpy(memory, long_store, sizeof long_store);
    for (i = 0; i < 300; i++) {
        emit((emitter *)memory);
        emit((emitter *)memory);
        first = memory[0];
        memory[0] = '\xcc';
        ((emitter *)memory)(control, 9);
        memory[0] = first;
    }
    assert(traps == 300);
    site("jump", memory);
}

/* The heap can grow by brk() as it can without htrun. */
static void heap_grows(void)
{
    char *start = sbrk(0);
    int i;

    for (i = 0; i < 200; i++) {
        emit(plain_store);
        assert(sbrk(1 << 20) == start + ((size_t)i << 20));
    }
    site("jump", (const void *)plain_store);
}

/* The size of the table in memory (htrun/rings/layout.py, TABLE_SIZE). */
enum { TABLE_SIZE = 0x80000 };

static void emit_hundred(void)
{
    int i;

    for (i = 0; i < 100; i++) {
        emit(plain_store);
    }
}

/* Whether a line of /proc/self/maps describes the memory that the variable UNMAPS names. "table" is the mapping without
 * a name. */
static bool is_to_go(const char *line)
{
    const char *name = getenv("UNMAPS"), *permissions = strchr(line, ' ') + 1;
    unsigned long start, end;

    if (strcmp(name, "table") != 0) {
        return strstr(line, name) != NULL;
    }
    assert(sscanf(line, "%lx-%lx", &start, &end) == 2);
    return strncmp(permissions, "r--p", 4) == 0 && end - start == TABLE_SIZE && strpbrk(line, "/[") == NULL;
}

/* The program unmaps memory that it has not mapped itself. */
static void unmap_strangers(void)
{
    char line[512];
    unsigned long start, end;
    int unmapped = 0;
    FILE *maps = fopen("/proc/self/maps", "r");

    assert(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        if (is_to_go(line)) {
            assert(sscanf(line, "%lx-%lx", &start, &end) == 2);
            assert(munmap((void *)start, end - start) == 0);
            unmapped++;
        }
    }
    fclose(maps);
    assert(unmapped > 0);
}

static void *emits_too(void *unused)
{
    (void)unused;
    emit_hundred();
    tell();
    return NULL;
}

static void unmaps_strangers(void)
{
    pthread_t thread;

    emit_hundred();
    unmap_strangers();
    emit_hundred();
    assert(pthread_create(&thread, NULL, emits_too, NULL) == 0);
    assert(pthread_join(thread, NULL) == 0);
}

/* The child has the patches, but not the trampolines. */
static void unmaps_before_fork(void)
{
    pid_t child;
    int status;

    emit_hundred();
    unmap_strangers();
    child = fork();
    assert(child >= 0);
    if (child == 0) {
        emit_hundred();
        _exit(0);
    }
    assert(waitpid(child, &status, 0) == child && status == 0);
    total += 100;
    emit_hundred();
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(void); } cases[] = {
        {"shared_helper", shared_helper},
        {"guard_page", guard_page},
        {"flags_and_red_zone", flags_and_red_zone},
        {"own_code", own_code},
        {"w_xor_x", w_xor_x},
        {"remapped", remapped},
        {"many_sites", many_sites},
        {"many_threads", many_threads},
        {"no_window", no_window},
        {"regenerated", regenerated},
        {"code_cache", code_cache},
        {"rewritten_behind", rewritten_behind},
        {"breakpoint_over", breakpoint_over},
        {"heap_grows", heap_grows},
        {"unmaps_strangers", unmaps_strangers},
        {"unmaps_before_fork", unmaps_before_fork},
    };
    size_t i;

    open_channel();
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (argc > 1 && strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return done();
        }
    }
    fprintf(stderr, "unknown case\n");
    return 2;
}
