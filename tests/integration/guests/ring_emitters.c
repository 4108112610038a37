/* ring_emitters WAY [NUMBER...]: emits events in various ways. Prints the values that the test cannot know in advance,
 * one per line. */
#include "exact_events.h"

#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <ucontext.h>

static int argument_count;
static char **arguments;

static uint64_t number_at(int position)
{
    check(position < argument_count, "too few numbers");
    return strtoull(arguments[position], NULL, 10);
}

static void join(pthread_t thread)
{
    check(pthread_join(thread, NULL) == 0, "pthread_join");
}

/* A slot for each emitter, since handlers and threads without pthread have no index of their own. */
static void emit_next(uint64_t slot, uint64_t number)
{
    emit_in(slot, slot, number);
}

static void emit_numbers(uint64_t slot, uint64_t count)
{
    for (uint64_t number = 0; number < count; number++)
        emit_next(slot, number);
}

static void await(pid_t child)
{
    int status;
    check(waitpid(child, &status, 0) == child && status == 0, "child");
}

/* threads THREADS EVENTS: threads that emit at the same time. */
static pthread_barrier_t together;

static void *run_thread(void *slot)
{
    prctl(PR_SET_NAME, "emitter", 0, 0, 0);
    pthread_barrier_wait(&together);
    emit_numbers((uintptr_t)slot, number_at(1));
    pthread_barrier_wait(&together);
    return NULL;
}

static void threads(void)
{
    uint64_t count = number_at(0);
    pthread_t all[1024];

    check(count <= 1024 && pthread_barrier_init(&together, NULL, (unsigned)count) == 0, "threads");
    for (uint64_t i = 0; i < count; i++)
        check(pthread_create(&all[i], NULL, run_thread, (void *)(uintptr_t)i) == 0, "pthread_create");
    for (uint64_t i = 0; i < count; i++)
        join(all[i]);
}

/* asked THREADS: threads that request an index and emit no events. */
static void *ask(void *unused)
{
    check(qemu_hypertrace_client() != UINT64_MAX, "qemu_hypertrace_client");
    return unused;
}

static void asked(void)
{
    for (uint64_t i = 0; i < number_at(0); i++) {
        pthread_t thread;

        check(pthread_create(&thread, NULL, ask, NULL) == 0, "pthread_create");
        join(thread);
    }
}

/* args EVENTS: every word of the slot has a different value. */
static void args(void)
{
    uint64_t count = number_at(0);
    uint64_t *data = qemu_hypertrace_data(5);

    for (uint64_t number = 0; number < count; number++) {
        for (uint64_t i = 0; i < qemu_hypertrace_num_args(); i++)
            data[i] = number << 32 | i;
        qemu_hypertrace(5);
    }
}

/* churn THREADS EVENTS: threads that emit one after the other. */
static void *run_short(void *slot)
{
    emit_numbers((uintptr_t)slot, number_at(1));
    return NULL;
}

static void churn(void)
{
    uint64_t count = number_at(0);

    for (uint64_t i = 0; i < count; i++) {
        pthread_t thread;
        check(pthread_create(&thread, NULL, run_short, (void *)(uintptr_t)(i % 1000)) == 0, "pthread_create");
        join(thread);
    }
}

/* forks CHILDREN EVENTS: children of each kind of fork emit, before and after events of the parent. */
static void forks(pid_t (*make)(void))
{
    uint64_t count = number_at(0);
    uint64_t events = number_at(1);

    for (uint64_t i = 1; i <= count; i++) {
        pid_t child = make();

        check(child >= 0, "fork");
        if (child == 0) {
            emit_numbers(i, events);
            _exit(0);
        }
        for (uint64_t number = 0; number < events; number++)
            emit_next(0, (i - 1) * events + number);
        await(child);
    }
}

static pid_t raw_fork(void)
{
#ifdef SYS_fork
    return (pid_t)syscall(SYS_fork);
#else
    return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
}

static void plain_forks(void)
{
    forks(fork);
}

static void raw_forks(void)
{
    forks(raw_fork);
}

/* vforks CHILDREN: each child emits two events, the first before the parent's first event, while another thread of the
 * parent continues. */
static void *run_vfork(void *slot)
{
    uint64_t count = number_at(0);

    for (uint64_t i = 0; i < count; i++) {
        pid_t child = vfork();

        check(child >= 0, "vfork");
        if (child == 0) {
            emit_next((uintptr_t)slot, 3 * i);
            emit_next((uintptr_t)slot, 3 * i + 1);
            _exit(0);
        }
        emit_next((uintptr_t)slot, 3 * i + 2);
        await(child);
    }
    return NULL;
}

static void vforks(void)
{
    pthread_t thread;

    check(pthread_create(&thread, NULL, run_vfork, (void *)1) == 0, "pthread_create");
    emit_numbers(0, 10 * number_at(0));
    join(thread);
}

/* execs TIMES EVENTS: the same process executes several program images, one after the other. */
static void execs(void)
{
    uint64_t left = number_at(0);
    uint64_t count = number_at(1);
    char text[32];

    emit_numbers(left, count);
    if (left > 1) {
        snprintf(text, sizeof text, "%llu", (unsigned long long)left - 1);
        execl("/proc/self/exe", "ring_emitters", "execs", text, arguments[1], (char *)NULL);
        check(0, "exec");
    }
}

/* raw EVENTS: a thread without pthread that shares its creator's thread-local memory while the creator waits for it. */
static int run_raw(void *unused)
{
    (void)unused;
    emit_numbers(1, number_at(0));
    return 0;
}

static void raw_thread(void)
{
    static char stack[65536] __attribute__((aligned(64)));
    pid_t child = clone(run_raw, stack + sizeof stack, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | SIGCHLD, NULL);

    check(child > 0, "clone");
    await(child);
    emit_numbers(2, number_at(0));
}

/* handlers EVENTS MICROSECONDS JUMP: a handler emits at random times, and exits with siglongjmp() if JUMP is not 0.
 * Prints its events. */
static volatile sig_atomic_t jumps;
static volatile sig_atomic_t may_jump;
static sigjmp_buf target;
static volatile uint64_t handled;

static void on_alarm(int number)
{
    (void)number;
    emit_next(1, handled);
    handled++;
    if (may_jump) {
        may_jump = 0;
        siglongjmp(target, 1);
    }
}

static void handlers(void)
{
    uint64_t count = number_at(0);
    long period = (long)number_at(1);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval timer = {{0, period}, {0, period}};
    static volatile uint64_t next;

    jumps = (sig_atomic_t)number_at(2);
    sigemptyset(&action.sa_mask);
    check(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
    check(setitimer(ITIMER_REAL, &timer, NULL) == 0, "setitimer");
    if (sigsetjmp(target, 1) != 0)
        next = next + 1;
    while (next < count || handled < 50) {
        may_jump = jumps;
        emit_next(0, next);
        may_jump = 0;
        next = next + 1;
    }
    timer = (struct itimerval){{0, 0}, {0, 0}};
    check(setitimer(ITIMER_REAL, &timer, NULL) == 0, "setitimer");
    printf("%llu\n%llu\n", (unsigned long long)next, (unsigned long long)handled);
}

/* first THREADS: signals arrive before, during and after each thread's first event. Prints the events of the handlers.
 */
static volatile int stop;
static __thread uint64_t own_number;
static uint32_t all_handled;

static void on_first(int number)
{
    static __thread uint64_t count;

    (void)number;
    emit_next(2 * own_number + 1, count++);
    __atomic_add_fetch(&all_handled, 1, __ATOMIC_RELAXED);
}

static void *run_first(void *slot)
{
    own_number = (uintptr_t)slot;
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    pthread_barrier_wait(&together);
    pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
    emit_numbers(2 * own_number, 20);
    pthread_barrier_wait(&together);
    return NULL;
}

static void first(void)
{
    struct sigaction action = {.sa_handler = on_first, .sa_flags = SA_RESTART};
    uint64_t count = number_at(0);
    sigset_t mask;

    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigemptyset(&action.sa_mask);
    check(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
    check(pthread_sigmask(SIG_BLOCK, &mask, NULL) == 0, "pthread_sigmask");
    check(pthread_barrier_init(&together, NULL, 2) == 0, "pthread_barrier_init");
    for (uint64_t i = 0; i < count; i++) {
        pthread_t thread;

        check(pthread_create(&thread, NULL, run_first, (void *)(uintptr_t)i) == 0, "pthread_create");
        if (i % 2 != 0)
            check(pthread_kill(thread, SIGUSR1) == 0, "pthread_kill");
        pthread_barrier_wait(&together);
        for (int sent = 0; sent < 20; sent++)
            check(pthread_kill(thread, SIGUSR1) == 0, "pthread_kill");
        pthread_barrier_wait(&together);
        join(thread);
    }
    printf("%u\n", all_handled);
}

/* nested EVENTS: some events are interrupted by a handler that emits EVENTS events, which are more than a ring can
 * hold. */
static void on_many(int number)
{
    uint64_t count = number_at(0);

    (void)number;
    for (uint64_t i = 0; i < count; i++)
        emit_next(1, handled++);
}

static void nested(void)
{
    struct sigaction action = {.sa_handler = on_many, .sa_flags = SA_RESTART};
    uint64_t next = 0;

    sigemptyset(&action.sa_mask);
    check(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
    for (uint64_t times = 1; times <= 50; times++) {
        /* The timer expires only once: a handler that takes longer than the period would be called forever. */
        struct itimerval timer = {{0, 0}, {0, 100}};

        check(setitimer(ITIMER_REAL, &timer, NULL) == 0, "setitimer");
        while (handled < times * number_at(0))
            emit_next(0, next++);
    }
    printf("%llu\n%llu\n", (unsigned long long)next, (unsigned long long)handled);
}

#ifdef __x86_64__

/*
 * stepped STEPS EVENTS WAY: event N is interrupted after N of its instructions, by a handler that emits EVENTS events.
 * If WAY is 1, the handler exits with siglongjmp(). If WAY is 2, the handler forks, and the child completes the event
 * while its parent waits. Prints how many events were interrupted, and the events of the handlers.
 */
#define TRAP_FLAG 0x100

static uint64_t steps_left;
static uint64_t interrupted;
static volatile bool is_child;

static void on_step(int number, siginfo_t *info, void *context)
{
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];

    (void)number;
    (void)info;
    if (steps_left-- > 0)
        return;
    *flags &= ~TRAP_FLAG;
    interrupted++;
    for (uint64_t i = 0; i < number_at(1); i++)
        emit_next(1, handled++);
    if (number_at(2) == 1)
        siglongjmp(target, 1);
    if (number_at(2) == 2) {
        pid_t child = raw_fork();

        check(child >= 0, "fork");
        is_child = child == 0;
        if (!is_child)
            await(child);
    }
}

/* The flag takes effect after the next instruction, so the first instruction that is stepped belongs to the event. */
static void set_stepping(bool on)
{
    __asm__ __volatile__("subq $128, %%rsp\n\tpushfq\n\tandq $~0x100, (%%rsp)\n\torq %0, (%%rsp)\n\tpopfq\n\taddq $128, %%rsp"
                         : : "r" (on ? (uint64_t)TRAP_FLAG : 0) : "memory", "cc");
}

static void stepped(void)
{
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    static volatile uint64_t next;

    sigemptyset(&action.sa_mask);
    check(sigaction(SIGTRAP, &action, NULL) == 0, "sigaction");
    for (next = 0; next < number_at(0); next++) {
        uint64_t *data = qemu_hypertrace_data(0);

        data[0] = 0;
        data[1] = next;
        data[3] = next * UINT64_C(0x9e3779b97f4a7c15);
        steps_left = next;
        if (sigsetjmp(target, 1) == 0) {
            set_stepping(true);
            qemu_hypertrace(0);
            set_stepping(false);
        }
        if (is_child)
            _exit(0);
    }
    printf("%llu\n%llu\n", (unsigned long long)interrupted, (unsigned long long)handled);
}

#endif

/* forever THREADS: threads that emit until they are killed. */
static void *run_forever(void *slot)
{
    emit_numbers((uintptr_t)slot, UINT64_MAX);
    return NULL;
}

static void forever(void)
{
    uint64_t count = number_at(0);
    pthread_t thread = pthread_self();

    for (uint64_t i = 0; i < count; i++)
        check(pthread_create(&thread, NULL, run_forever, (void *)(uintptr_t)i) == 0, "pthread_create");
    join(thread);
}

/* again TIMES EVENTS: init and fini repeatedly, while another thread exists. */
static void *run_again(void *unused)
{
    for (uint64_t i = 0; i < number_at(0); i++) {
        pthread_barrier_wait(&together);
        emit_numbers(2 * i + 1, number_at(1));
        pthread_barrier_wait(&together);
    }
    return unused;
}

static void again(void)
{
    pthread_t thread;

    check(pthread_barrier_init(&together, NULL, 2) == 0, "pthread_barrier_init");
    check(pthread_create(&thread, NULL, run_again, NULL) == 0, "pthread_create");
    for (uint64_t i = 0; i < number_at(0); i++) {
        if (i > 0)
            start_events();
        pthread_barrier_wait(&together);
        emit_numbers(2 * i, number_at(1));
        pthread_barrier_wait(&together);
        check(qemu_hypertrace_fini() == 0, "qemu_hypertrace_fini");
        emit_numbers(0, 3);
    }
    join(thread);
}

/* both EVENTS: after every event of the library, the program itself stores to the control word. */
static void both(void)
{
    for (uint64_t number = 0; number < number_at(0); number++) {
        emit_next(0, number);
        qemu_hypertrace_control_[QEMU_HYPERTRACE_BIAS_] = (uint32_t)number;
    }
}

/* outside: an index that has no slot. */
static void outside(void)
{
    qemu_hypertrace(qemu_hypertrace_max_clients());
}

/* calibrate PAIRS */
static void calibrate(void)
{
    qemu_hypertrace_calibrate(3, number_at(0));
}

static const struct {
    const char *name;
    void (*run)(void);
} ways[] = {
    {"threads", threads}, {"asked", asked}, {"args", args}, {"churn", churn}, {"forks", plain_forks}, {"raw-forks", raw_forks},
    {"vforks", vforks}, {"execs", execs}, {"raw", raw_thread}, {"handlers", handlers}, {"first", first},
    {"nested", nested}, {"forever", forever}, {"again", again}, {"both", both}, {"outside", outside},
    {"calibrate", calibrate},
#ifdef __x86_64__
    {"stepped", stepped},
#endif
};

int main(int argc, char **argv)
{
    check(argc >= 2, "which way?");
    argument_count = argc - 2;
    arguments = argv + 2;
    start_events();
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (strcmp(argv[1], ways[i].name) == 0) {
            ways[i].run();
            return 0;
        }
    }
    check(0, "no such way");
    return 1;
}
