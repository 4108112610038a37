/* hazard_segv CASE: a program that emits, and that itself uses SIGSEGV, its signal mask, or single steps. */
#include "hazard.h"

#include <linux/sched.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define SA_RESTORER 0x04000000      /* set by the C library (arch/x86/include/uapi/asm/signal.h) */

__asm__(".text\n"
        ".balign 64\n"
        ".globl plain_store\n"
        "plain_store: .byte 0x89, 0xb7, 0x00, 0x00, 0x00, 0x00\n"
        ".globl plain_store_behind\n"
        "plain_store_behind: ret\n");

extern emitter plain_store;
extern const char plain_store_behind[];
static const char long_store[] = {'\x40', '\x89', '\xb7', '\x00', '\x00', '\x00', '\x00', '\xc3'};

/* A new site, so its first event traps. */
static emitter *fresh(void)
{
    return (emitter *)generated(long_store, sizeof long_store, 0);
}

static void handler(int number)
{
    (void)number;
}

static void set_action(void (*what)(int), int flags)
{
    struct sigaction action = {.sa_handler = what, .sa_flags = flags};

    sigaddset(&action.sa_mask, SIGUSR2);
    assert(sigaction(SIGSEGV, &action, NULL) == 0);
}

static void expect_action(void (*what)(int), int flags)
{
    struct sigaction now;

    assert(sigaction(SIGSEGV, NULL, &now) == 0);
    assert(now.sa_handler == what && (now.sa_flags & ~SA_RESTORER) == flags);
    assert(flags == 0 || sigismember(&now.sa_mask, SIGUSR2) == 1);
}

static void set_blocked(bool blocked)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    assert(pthread_sigmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL) == 0);
}

static void expect_blocked(bool blocked)
{
    sigset_t now;

    assert(pthread_sigmask(SIG_BLOCK, NULL, &now) == 0);
    assert(sigismember(&now, SIGSEGV) == blocked);
}

/* The wait status of a child that calls @what, which must not emit. */
static int status_of(void (*what)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        what();
        _exit(7);
    }
    assert(waitpid(child, &status, 0) == child);
    return status & ~0x80;
}

static void fault(void)
{
    *(volatile int *)NULL = 1;
}

static void send_segv(void)
{
    raise(SIGSEGV);
}

static void blocked_fault(void)
{
    set_blocked(true);
    fault();
}

/* sigaction returns the action that the program has set, even if htrun has set another one in the kernel. */
static void action_asked(void)
{
    static void (*const actions[])(int) = {SIG_DFL, handler, SIG_IGN, SIG_DFL, SIG_IGN, handler, SIG_DFL};
    struct sigaction old;
    int turn, blocked;

    expect_action(SIG_DFL, 0);
    for (turn = 0; turn < 7; turn++) {
        set_action(actions[turn], SA_NODEFER | SA_RESTART);
        for (blocked = 0; blocked < 2; blocked++) {
            set_blocked(blocked);
            expect_action(actions[turn], SA_NODEFER | SA_RESTART);
            emit(fresh());
            expect_action(actions[turn], SA_NODEFER | SA_RESTART);
            expect_blocked(blocked);
        }
        set_blocked(false);
    }
    for (turn = 0; turn < 7; turn++) {
        struct sigaction action = {.sa_handler = actions[turn]};

        assert(sigaction(SIGSEGV, &action, &old) == 0);
        assert(old.sa_handler == actions[turn == 0 ? 6 : turn - 1]);
        emit(fresh());
    }
    errno = 0;
    assert(syscall(SYS_rt_sigaction, SIGSEGV, &old, NULL, 4) == -1 && errno == EINVAL);
    assert(syscall(SYS_rt_sigaction, SIGSEGV, 8, NULL, 8) == -1 && errno == EFAULT);
    assert(syscall(SYS_rt_sigaction, SIGSEGV, NULL, 8, 8) == -1 && errno == EFAULT);
    expect_action(SIG_DFL, 0);
    emit(plain_store);
    emit(plain_store);
}

/* A SIGSEGV kills the program in the same cases as without htrun. */
static void killing(void)
{
    int turn;

    for (turn = 0; turn < 3; turn++) {
        emit(fresh());
        assert(status_of(fault) == SIGSEGV);
        assert(status_of(send_segv) == SIGSEGV);
        assert(status_of(blocked_fault) == SIGSEGV);
        set_action(SIG_IGN, 0);
        emit(fresh());
        assert(status_of(fault) == SIGSEGV);
        assert(status_of(send_segv) == 7 << 8);
        set_action(handler, 0);
        emit(fresh());
        assert(status_of(blocked_fault) == SIGSEGV);
        assert(status_of(send_segv) == 7 << 8);
        set_action(SIG_DFL, 0);
    }
    emit(plain_store);
    emit(plain_store);
}

static volatile int *entered;

static void count_entry(int number)
{
    (void)number;
    ++*entered;
    if (*entered > 1) {
        _exit(8);
    }
    emit(fresh());
    expect_blocked(true);
    expect_action(SIG_DFL, (int)SA_RESETHAND);
}

static void fault_once(void)
{
    set_action(count_entry, (int)SA_RESETHAND);
    emit(plain_store);
    fault();
}

static void send_once(void)
{
    set_action(count_entry, (int)SA_RESETHAND);
    raise(SIGSEGV);
    emit(fresh());
    expect_blocked(false);
    set_blocked(true);
    emit(fresh());
    expect_blocked(true);
    expect_action(SIG_DFL, (int)SA_RESETHAND);
    set_blocked(false);
    fault();
}

/* With SA_RESETHAND the handler runs once. Then the program has the default action, also after traps while SIGSEGV is
 * blocked. */
static void reset_hand(void)
{
    entered = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert(status_of(fault_once) == SIGSEGV && *entered == 1);
    total += 2;
    *entered = 0;
    assert(status_of(send_once) == SIGSEGV && *entered == 1);
    total += 3;
    emit(plain_store);
    emit(plain_store);
}

/* A SIGSEGV that is pending and blocked stays pending when a store traps, with its data. */
static void pending(void)
{
    union sigval value = {.sival_int = 4711};
    siginfo_t info;
    sigset_t set;
    int turn;

    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    for (turn = 0; turn < 6; turn++) {
        set_blocked(true);
        if (turn == 3) {
            set_action(handler, SA_RESTART);
        }
        if (turn % 3 == 0) {
            assert(syscall(SYS_tgkill, getpid(), gettid(), SIGSEGV) == 0);
        } else if (turn % 3 == 1) {
            assert(kill(getpid(), SIGSEGV) == 0);
        } else {
            assert(pthread_sigqueue(pthread_self(), SIGSEGV, value) == 0);
        }
        emit(fresh());
        emit(fresh());
        emit(plain_store);
        expect_blocked(true);
        assert(sigwaitinfo(&set, &info) == SIGSEGV);
        /* The C library changes SI_TKILL to SI_USER here. */
        assert(info.si_code == (turn % 3 == 2 ? SI_QUEUE : SI_USER));
        assert(info.si_pid == getpid() && (turn % 3 != 2 || info.si_value.sival_int == 4711));
        emit(fresh());
        expect_blocked(true);
        set_blocked(false);
    }
}

/* A child whose handlers were cleared at its creation has the default action. */
static void clear_sighand(void)
{
    struct clone_args arguments = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
    int turn, status;
    pid_t child;

    for (turn = 0; turn < 4; turn++) {
        set_action(turn % 2 == 0 ? handler : SIG_DFL, 0);
        emit(fresh());
        child = syscall(SYS_clone3, &arguments, sizeof arguments);
        if (child == 0) {
            expect_action(SIG_DFL, 0);
            if (turn >= 2) {
                set_blocked(true);
                emit(fresh());
                expect_blocked(true);
                set_blocked(false);
                emit(fresh());
                expect_blocked(false);
            }
            fault();
        }
        assert(waitpid(child, &status, 0) == child);
        assert((status & ~0x80) == SIGSEGV);
        total += turn >= 2 ? 2 : 0;
        expect_action(turn % 2 == 0 ? handler : SIG_DFL, 0);
    }
    emit(plain_store);
    emit(plain_store);
}

static volatile int mended;

static void mend(int number, siginfo_t *info, void *context)
{
    (void)number;
    if (info->si_code != SEGV_MAPERR || info->si_addr != (void *)8) {
        _exit(10);
    }
    mended++;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void fault_and_go_on(int count)
{
    int before = mended, i;

    for (i = 0; i < count; i++) {
        __asm__ volatile("movl %%eax, (%%rax)" : : "a"(8) : "memory");
    }
    assert(mended == before + count);
}

static void set_mending(int flags)
{
    struct sigaction action = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO | flags};

    assert(sigaction(SIGSEGV, &action, NULL) == 0);
}

static void fault_blocked_after_many(void)
{
    fault_and_go_on(50);
    blocked_fault();
}

static void fault_in_default_after_many(void)
{
    fault_and_go_on(50);
    set_action(SIG_DFL, 0);
    fault();
}

static void fault_in_last_handler_after_many(void)
{
    fault_and_go_on(50);
    set_mending((int)SA_RESETHAND);
    fault_and_go_on(1);
    __asm__ volatile("movl %%eax, (%%rax)" : : "a"(8) : "memory");
}

static void *fault_in_thread(void *unused)
{
    fault_and_go_on(200);
    emit_as(fresh(), 1);
    fault_and_go_on(200);
    tell();
    return unused;
}

/* Faults of the program itself, one after the other, such as those of null pointer checks, in combination with other
 * events. */
static void own_faults(void)
{
    pthread_t thread;
    int turn;

    set_mending(0);
    for (turn = 0; turn < 10; turn++) {
        fault_and_go_on(100);
        emit(fresh());
        expect_blocked(false);
        emit(plain_store);
    }
    set_mending(SA_NODEFER);
    fault_and_go_on(100);
    assert(status_of(fault_blocked_after_many) == SIGSEGV);
    assert(status_of(fault_in_default_after_many) == SIGSEGV);
    assert(status_of(fault_in_last_handler_after_many) == SIGSEGV);
    assert(pthread_create(&thread, NULL, fault_in_thread, NULL) == 0);
    pthread_join(thread, NULL);
    fault_and_go_on(100);
    set_blocked(true);
    emit(fresh());
    expect_blocked(true);
    set_blocked(false);
    fault_and_go_on(100);
}

static pthread_barrier_t barrier;

static void *emit_together(void *number)
{
    bool blocked = (uintptr_t)number % 2 == 0;
    sigset_t all;
    int turn;

    sigfillset(&all);
    assert(pthread_sigmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &all, NULL) == 0);
    for (turn = 0; turn < 40; turn++) {
        emitter *how = fresh();

        pthread_barrier_wait(&barrier);
        emit_as(how, 1 + (uintptr_t)number);
        expect_blocked(blocked);
    }
    tell();
    return NULL;
}

/* Several threads trap at the same time, and some of them block SIGSEGV. */
static void together(void)
{
    pthread_t threads[6];
    uintptr_t i, round;

    assert(pthread_barrier_init(&barrier, NULL, 6) == 0);
    for (round = 0; round < 2; round++) {
        void (*const action)(int) = round == 0 ? SIG_DFL : handler;

        set_action(action, SA_RESTART);
        for (i = 0; i < 6; i++) {
            assert(pthread_create(&threads[i], NULL, emit_together, (void *)(6 * round + i)) == 0);
        }
        for (i = 0; i < 6; i++) {
            pthread_join(threads[i], NULL);
        }
        expect_action(action, SA_RESTART);
    }
    emit(plain_store);
    emit(plain_store);
}

static volatile int steps_at_store, steps_behind_store, steps_elsewhere;

static void look_at_step(int number, siginfo_t *info, void *context)
{
    uintptr_t at = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

    (void)number;
    if (info->si_code != TRAP_TRACE || info->si_addr != (void *)at) {
        _exit(9);
    }
    if (at == (uintptr_t)plain_store) {
        steps_at_store++;
    } else if (at == (uintptr_t)plain_store_behind) {
        steps_behind_store++;
    } else {
        steps_elsewhere++;
    }
}

static void step_over(uint32_t index)
{
    qemu_hypertrace_data(index)[0] = emitted++;
    __asm__ volatile("pushfq\n orq $0x100, (%%rsp)\n popfq\n"
                     "call plain_store\n"
                     "pushfq\n andq $~0x100, (%%rsp)\n popfq"
                     :
                     : "D"(control), "S"(index)
                     : "memory", "cc");
}

/* A program that single-steps itself sees one step for the store, whether the store is patched or not. */
static void stepping(void)
{
    struct sigaction action = {.sa_sigaction = look_at_step, .sa_flags = SA_SIGINFO};
    int turn, others;

    assert(sigaction(SIGTRAP, &action, NULL) == 0);
    step_over(0);
    others = steps_elsewhere;
    for (turn = 1; turn < 20; turn++) {
        step_over(0);
    }
    assert(steps_at_store == 20 && steps_behind_store == 20 && steps_elsewhere == 20 * others);
}

static volatile int ticks;

static void tick(int number)
{
    (void)number;
    ticks++;
}

/* A fast timer does not prevent the program from making progress. It is as fast as a program under strace could handle.
 */
static void fast_timer(void)
{
    struct itimerval timer = {{0, 100}, {0, 100}}, none = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};
    volatile uint64_t work;
    int turn;

    emit(plain_store);
    assert(sigaction(SIGALRM, &action, NULL) == 0);
    assert(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    for (turn = 0; turn < 2000; turn++) {
        emit(plain_store);
        for (work = 0; work < 10000; work++) {
        }
    }
    assert(setitimer(ITIMER_REAL, &none, NULL) == 0);
    assert(ticks > 0);
}

/* The number of seccomp filters of this process. */
static void filters(void)
{
    char line[256];
    FILE *status;

    emit(plain_store);
    emit(plain_store);
    status = fopen("/proc/self/status", "r");
    assert(status != NULL);
    while (fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "Seccomp_filters:", 16) == 0) {
            printf("filters %d\n", atoi(line + 16));
        }
    }
    fclose(status);
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(void); } cases[] = {
        {"action_asked", action_asked},
        {"killing", killing},
        {"reset_hand", reset_hand},
        {"pending", pending},
        {"clear_sighand", clear_sighand},
        {"own_faults", own_faults},
        {"together", together},
        {"stepping", stepping},
        {"fast_timer", fast_timer},
        {"filters", filters},
    };
    size_t i;

    open_channel();
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (argc > 1 && strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            site("any", (const void *)plain_store);
            return done();
        }
    }
    fprintf(stderr, "unknown case\n");
    return 2;
}
