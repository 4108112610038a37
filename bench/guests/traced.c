/*
 * Work of a program that a tracer has to see, such as signals and threads. BUSINESS: the kind of work, see below; an
 * "event" is one piece of work. CHANNEL=1: the program opens a hypertrace channel and emits one event at the start.
 * CHANNEL=2: it also emits one in each thread and child.
 *
 * The program is not pinned to a processor, like most programs.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

#include "../measure.h"

enum { SIGNAL = 1, MASKS, THREAD, FORK, EXEC, FAULT, FILE_MAP, PAGE = 4096 };

static cpu_set_t processors;
static int file;

__attribute__((constructor)) static void keep_processors(void)
{
    if (sched_getaffinity(0, sizeof processors, &processors) != 0)
        die("sched_getaffinity");
}

static void emit_own(void)
{
    if (CHANNEL == 2)
        qemu_hypertrace(1);
}

static void handle(int number)
{
    (void)number;
}

/* The instruction in fault() has three bytes. */
static void skip_load(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 3;
}

static void *be_thread(void *unused)
{
    emit_own();
    return unused;
}

static void open_channel(void)
{
    if (CHANNEL && qemu_hypertrace_init(NULL) != 0)
        die("qemu_hypertrace_init");
}

static void emitter_open(struct worker *worker)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO, .sa_sigaction = skip_load};

    (void)worker;
    if (sched_setaffinity(0, sizeof processors, &processors) != 0)
        die("sched_setaffinity");
    if (BUSINESS == SIGNAL)
        signal(SIGUSR1, handle);
    if (BUSINESS == FAULT)
        sigaction(SIGSEGV, &action, NULL);
    if (BUSINESS == FILE_MAP && ((file = memfd_create("mapped", 0)) == -1 || ftruncate(file, PAGE) != 0))
        die("memfd_create");
    open_channel();
    if (CHANNEL)
        qemu_hypertrace(0);
}

static void await(pid_t child)
{
    int status;

    if (child == -1 || waitpid(child, &status, 0) != child || status != 0)
        die("a child");
}

static void send_signal(void)
{
    raise(SIGUSR1);
}

static void change_mask(void)
{
    sigset_t one;

    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    sigprocmask(SIG_BLOCK, &one, NULL);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
}

static void create_thread(void)
{
    pthread_t thread;

    if ((errno = pthread_create(&thread, NULL, be_thread, NULL)) != 0)
        die("pthread_create");
    pthread_join(thread, NULL);
}

static void create_child(void)
{
    pid_t child = fork();

    if (child == 0) {
        emit_own();
        _exit(0);
    }
    await(child);
}

static void start_program(void)
{
    pid_t child = vfork();

    if (child == 0) {
        execl("/proc/self/exe", "traced", "child", (char *)NULL);
        _exit(1);
    }
    await(child);
}

static void fault(void)
{
    /* This instruction has three bytes; skip_load() depends on this. */
    __asm__ volatile("movl 8(%%rax), %%ecx" : : "a"(0) : "ecx", "memory");
}

static void map_file(void)
{
    munmap(checked(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0), "mmap"), PAGE);
}

static void (*const do_business[])(void) = {
    [SIGNAL] = send_signal, [MASKS] = change_mask,  [THREAD] = create_thread, [FORK] = create_child,
    [EXEC] = start_program, [FAULT] = fault,        [FILE_MAP] = map_file,
};

static void emit_events(struct worker *worker, uint64_t count)
{
    (void)worker;
    for (uint64_t i = 0; i < count; i++)
        do_business[BUSINESS]();
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "child") == 0) {
        if (CHANNEL == 2) {
            open_channel();
            emit_own();
        }
        return 0;
    }
    return measure_main(argc, argv);
}
