/* hazard_signals CASE: signals at patched sites. */
#include "hazard.h"

#include <execinfo.h>
#include <setjmp.h>
#include <sys/time.h>
#include <time.h>

__asm__(".text\n"
        ".balign 64\n"
        ".globl plain_store\n"
        "plain_store:\n"
        ".globl plain_store_site\n"
        "plain_store_site: .byte 0x89, 0xb7, 0x00, 0x00, 0x00, 0x00\n"
        ".globl plain_store_behind\n"
        "plain_store_behind: ret\n"
        ".balign 64\n"
        /* Emits events in an endless loop. The values of all registers are known. */
        ".globl known_registers\n"
        "known_registers:\n"
        "push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "movabs $0x1111111111111111, %rax\n"
        "movabs $0x2222222222222222, %rbx\n"
        "movabs $0x3333333333333333, %rcx\n"
        "movabs $0x4444444444444444, %rdx\n"
        "movabs $0x5555555555555555, %rbp\n"
        "movabs $0x8888888888888888, %r8\n"
        "movabs $0x9999999999999999, %r9\n"
        "movabs $0xaaaaaaaaaaaaaaaa, %r10\n"
        "movabs $0xbbbbbbbbbbbbbbbb, %r11\n"
        "movabs $0xcccccccccccccccc, %r12\n"
        "movabs $0xdddddddddddddddd, %r13\n"
        "movabs $0xeeeeeeeeeeeeeeee, %r14\n"
        "movl $0, %r15d\n"
        "1:\n"
        "movq %r13, -8(%rsp)\n"
        "movq %r14, -128(%rsp)\n"
        "addl $1, %r15d\n"
        /* All six flags, by a sum that sets carry and overflow. The flags differ in each iteration. */
        "movl $0x7fffffff, %r14d\n"
        "addl %r15d, %r14d\n"
        ".globl known_site\n"
        "known_site: movl %esi, 0(%rdi)\n"
        ".globl known_behind\n"
        "known_behind: seto %r13b\n"
        "setc %r12b\n"
        "movq -8(%rsp), %r13\n"
        "movq -128(%rsp), %r14\n"
        "movabs $0xcccccccccccccccc, %r12\n"
        "cmpl $0, stop_known(%rip)\n"
        "je 1b\n"
        "movl %r15d, %eax\n"
        "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"
        "ret\n"
        ".balign 64\n"
        /*
         * The jump borrows 31 c0, so its target is a gigabyte below, where no memory is mapped. The heap is at a random
         * address up to a gigabyte above the program.
         */
        ".globl short_stores\n"
        "short_stores:\n"
        ".rept 10\n"
        ".byte 0x89, 0x77, 0x00\n"
        "xorl %eax, %eax\n"
        "ret\n"
        ".balign 64\n"
        ".endr\n");

extern const char short_stores[];
extern emitter plain_store;
extern const char plain_store_site[], plain_store_behind[], known_site[], known_behind[];
extern uint32_t known_registers(volatile uint32_t *control, uint32_t index);
volatile int stop_known;

/* The program's executable memory at its start. A handler may interrupt only this code. */
static struct { uintptr_t start, end; } code[256];
static int code_count;
static volatile long at_site, behind_site, elsewhere;

static bool is_trampoline(const char *line)
{
    return strstr(line, "htrun-trampolines") != NULL;
}

static void learn_code(void)
{
    char line[512], permissions[8];
    unsigned long start, end;
    FILE *maps = fopen("/proc/self/maps", "r");

    assert(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &start, &end, permissions) == 3 && permissions[2] == 'x' && !is_trampoline(line)) {
            code[code_count].start = start;
            code[code_count++].end = end;
        }
    }
    fclose(maps);
}

static bool is_known_code(uintptr_t address)
{
    int i;

    for (i = 0; i < code_count; i++) {
        if (code[i].start <= address && address < code[i].end) {
            return true;
        }
    }
    return false;
}

static void fail(const char *what, unsigned long value)
{
    printf("wrong %s %#lx\n", what, value);
    _exit(1);
}

static void expect(const greg_t *registers, int number, uint64_t value, const char *name)
{
    if ((uint64_t)registers[number] != value) {
        fail(name, registers[number]);
    }
}

static uint64_t flags_of_sum(uint32_t turn)
{
    uint32_t left = 0x7fffffff, result;
    uint64_t flags;

    __asm__ volatile("movl %2, %0\n addl %3, %0\n pushfq\n popq %1" : "=&r"(result), "=&r"(flags) : "r"(left), "r"(turn) : "cc");
    return flags & 0x8d5;
}

/* Checks where the thread was interrupted: never in a trampoline, and with the register values at the site or after it.
 */
static void look(int number, siginfo_t *info, void *context)
{
    const greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    uintptr_t counter = registers[REG_RIP];
    void *frames[64];

    (void)number;
    (void)info;
    if (!is_known_code(counter)) {
        fail("program counter", counter);
    }
    if (counter != (uintptr_t)known_site && counter != (uintptr_t)known_behind) {
        elsewhere++;
        return;
    }
    *(counter == (uintptr_t)known_site ? &at_site : &behind_site) += 1;
    expect(registers, REG_RAX, 0x1111111111111111, "rax");
    expect(registers, REG_RBX, 0x2222222222222222, "rbx");
    expect(registers, REG_RCX, 0x3333333333333333, "rcx");
    expect(registers, REG_RDX, 0x4444444444444444, "rdx");
    expect(registers, REG_RBP, 0x5555555555555555, "rbp");
    expect(registers, REG_RDI, (uintptr_t)control, "rdi");
    expect(registers, REG_R8, 0x8888888888888888, "r8");
    expect(registers, REG_R9, 0x9999999999999999, "r9");
    expect(registers, REG_R10, 0xaaaaaaaaaaaaaaaa, "r10");
    expect(registers, REG_R11, 0xbbbbbbbbbbbbbbbb, "r11");
    expect(registers, REG_R14, (uint32_t)(0x7fffffff + (uint32_t)registers[REG_R15]), "r14");
    if ((registers[REG_EFL] & 0x8d5) != (greg_t)flags_of_sum(registers[REG_R15])) {
        fail("flags", registers[REG_EFL]);
    }
    expect((const greg_t *)registers[REG_RSP] - 1, 0, 0xdddddddddddddddd, "red zone");
    if (backtrace(frames, 64) < 3) {
        fail("unwinding", 0);
    }
}

static void *send_signals(void *target)
{
    struct timespec pause = {0, 20000};
    int i;

    /* On a busy machine, most signals interrupt the thread at one of the two. Continue until both were seen. */
    for (i = 0; i < 3000 || (i < 20000 && (at_site == 0 || behind_site == 0)); i++) {
        pthread_kill(*(pthread_t *)target, SIGUSR1);
        pause.tv_nsec = 1000 + i * 97 % (i < 3000 ? 20000 : 400000);
        nanosleep(&pause, NULL);
    }
    stop_known = 1;
    return NULL;
}

/* Signals at every instruction of a trampoline. The handler checks the program counter, the registers, the flags and
 * the stack. */
static void signals_in_trampoline(void)
{
    struct sigaction action = {.sa_sigaction = look, .sa_flags = SA_SIGINFO | SA_RESTART};
    pthread_t self = pthread_self(), sender;
    void *frames[8];

    backtrace(frames, 8);       /* loads libgcc now */
    learn_code();
    assert(sigaction(SIGUSR1, &action, NULL) == 0);
    qemu_hypertrace_data(7)[0] = 0x77;
    assert(pthread_create(&sender, NULL, send_signals, &self) == 0);
    total += known_registers(control, 7);
    pthread_join(sender, NULL);
    printf("found %ld at %ld behind %ld elsewhere\n", at_site, behind_site, elsewhere);
    assert(at_site > 0 && behind_site > 0);
    site("any", known_site);
}

static volatile sig_atomic_t handled;

static void emit_in_handler(int number)
{
    (void)number;
    handled++;
    emit_as(plain_store, 3);
}

/* A handler on an alternate stack emits, even if it has interrupted an event. */
static void alternate_stack(void)
{
    static char stack[64 * 1024];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = emit_in_handler, .sa_flags = SA_ONSTACK | SA_RESTART};
    struct itimerval timer = {{0, 300}, {0, 300}}, none = {{0, 0}, {0, 0}};

    assert(sigaltstack(&alternate, NULL) == 0);
    assert(sigaction(SIGALRM, &action, NULL) == 0);
    assert(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    while (handled < 300) {
        qemu_hypertrace_data(2)[0] = total;
        plain_store(control, 2);
        total++;
    }
    assert(setitimer(ITIMER_REAL, &none, NULL) == 0);
    printf("handled %d\n", (int)handled);
    site("jump", plain_store_site);
}

static sigjmp_buf back;

static void jump_out(int number)
{
    (void)number;
    siglongjmp(back, 1);
}

/* A handler exits with siglongjmp(). The interrupted event is recorded completely or not at all. */
static void long_jump(void)
{
    struct sigaction action = {.sa_handler = jump_out};
    struct itimerval timer = {{0, 0}, {0, 100}};
    volatile int jumps = 0;
    volatile uint64_t count = 0;

    assert(sigaction(SIGALRM, &action, NULL) == 0);
    if (sigsetjmp(back, 1) != 0) {
        jumps++;
    }
    if (jumps < 80) {
        assert(setitimer(ITIMER_REAL, &timer, NULL) == 0);
        for (;;) {
            qemu_hypertrace_data(5)[0] = count;
            plain_store(control, 5);
            count++;
        }
    }
    printf("counted %llu jumps %d\n", (unsigned long long)count, jumps);
    site("jump", plain_store_site);
}

static volatile sig_atomic_t faults;

static void mend(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)number;
    if (registers[REG_RIP] != (greg_t)plain_store_site) {
        fail("place of a fault", registers[REG_RIP]);
    }
    if (info->si_addr != NULL || registers[REG_RDI] != 0 || registers[REG_RSI] != 11) {
        fail("fault", (unsigned long)info->si_addr);
    }
    faults++;
    registers[REG_RIP] = (greg_t)plain_store_behind;
}

/* A fault of the guest itself at a patched site is reported at the site. */
static void own_fault(void)
{
    struct sigaction action = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO};
    int i;

    assert(sigaction(SIGSEGV, &action, NULL) == 0);
    for (i = 0; i < 500; i++) {
        emit(plain_store);
        plain_store(NULL, 11);
        emit(plain_store);
    }
    assert(faults == 500);
    site("jump", plain_store_site);
}

/* Threads that block all signals or ignore SIGTRAP while one of their sites is being patched. */
static void *emit_blocked(void *how)
{
    sigset_t all, now;
    int i;

    sigfillset(&all);
    assert(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
    for (i = 0; i < 5000; i++) {
        emit_as(how, 1 + (uintptr_t)pthread_self() / PAGE % 512);
    }
    assert(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0);
    assert(sigismember(&now, SIGTRAP) && sigismember(&now, SIGSEGV) && sigismember(&now, SIGILL));
    tell();
    return NULL;
}

static void patched_under_way(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, now;
    static const char long_store[] = {'\x40', '\x89', '\xb7', '\x00', '\x00', '\x00', '\x00', '\xc3'};
    pthread_t threads[4];
    int i, turn;

    assert(sigaction(SIGTRAP, &ignore, NULL) == 0);
    assert(sigaction(SIGSEGV, &ignore, NULL) == 0);
    for (turn = 0; turn < 10; turn++) {
        const char *fresh = turn % 2 == 0 ? short_stores + 64 * turn : generated(long_store, sizeof long_store, 0);

        for (i = 0; i < 4; i++) {
            assert(pthread_create(&threads[i], NULL, emit_blocked, (void *)fresh) == 0);
        }
        for (i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
        }
        site("any", fresh);
    }
    assert(sigaction(SIGTRAP, NULL, &now) == 0 && now.sa_handler == SIG_IGN);
    assert(sigaction(SIGSEGV, NULL, &now) == 0 && now.sa_handler == SIG_IGN);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    open_channel();
    if (strcmp(name, "signals_in_trampoline") == 0) {
        signals_in_trampoline();
    } else if (strcmp(name, "alternate_stack") == 0) {
        alternate_stack();
    } else if (strcmp(name, "long_jump") == 0) {
        long_jump();
        return 0;
    } else if (strcmp(name, "own_fault") == 0) {
        own_fault();
    } else if (strcmp(name, "patched_under_way") == 0) {
        patched_under_way();
    } else {
        fprintf(stderr, "unknown case %s\n", name);
        return 2;
    }
    return done();
}
