/*
 * Changes between two traps of the same thread at the same site. The first argument of each event is its number, and
 * the second is the stored index.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

#define MANY 300
#define CODE_SIZE 4096
#define CONTROL_SIZE 0x10000

typedef void site(volatile uint32_t *control, uint32_t index);

static uint64_t number;

static void announce(uint32_t index)
{
    for (uint32_t i = 0; i < 16; i++) {
        uint64_t *data = qemu_hypertrace_data(i);
        data[0] = number;
        data[1] = index;
    }
    number++;
}

/* Code that stores to 128(%rdi) and returns. It is always at the same address. */
static site *write_code(const char *bytes, size_t length)
{
    static unsigned char *code;
    if (code == NULL)
        code = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        abort();
    memcpy(code, bytes, length);
    code[length] = 0xc3;
    return (site *)(void *)code;
}
#define CODE(bytes) write_code(bytes, sizeof(bytes) - 1)

static void emit(site *store, uint32_t index)
{
    announce(index);
    store(qemu_hypertrace_control_, index);
}

static void many(void)
{
    site *store = CODE("\x89\xb7\x80\x00\x00\x00"); /* mov %esi,0x80(%rdi) */
    for (uint32_t i = 0; i < MANY; i++)
        emit(store, i % 16);
}

/* The index comes from another register, or is a constant; the instruction has another length, or 12 bytes, or stores
 * 64 bits. */
static void rewritten(void)
{
    for (uint32_t i = 0; i < MANY; i++) {
        emit(CODE("\x89\xb7\x80\x00\x00\x00"), 1);
        emit(CODE("\xc7\x87\x80\x00\x00\x00\x02\x00\x00\x00"), 2);             /* movl $2,0x80(%rdi) */
        emit(CODE("\xc7\x87\x80\x00\x00\x00\x03\x00\x00\x00"), 3);             /* movl $3,0x80(%rdi) */
        emit(CODE("\x48\x89\xb7\x80\x00\x00\x00"), 4);                         /* mov %rsi,0x80(%rdi) */
        emit(CODE("\xc7\x84\x27\x80\x00\x00\x00\x05\x00\x00\x00"), 5);         /* movl $5,0x80(%rdi,%riz) */
        emit(CODE("\x48\xc7\x84\x27\x80\x00\x00\x00\x06\x00\x00\x00"), 6);     /* 64 bits of it */
    }
}

static void caught(int signal)
{
    (void)signal;
    const char text[] = "caught\n";
    if (write(1, text, sizeof text - 1) != sizeof text - 1)
        abort();
    _exit(0);
}

/* A blocked SIGSEGV stays blocked, and its handler stays installed. */
static void blocked(void)
{
    sigset_t segv, now;
    signal(SIGSEGV, caught);
    sigemptyset(&segv);
    sigaddset(&segv, SIGSEGV);
    many();
    for (int i = 0; i < 3; i++) {
        sigprocmask(SIG_BLOCK, &segv, NULL);
        many();
        sigprocmask(SIG_BLOCK, NULL, &now);
        printf("blocked %d\n", sigismember(&now, SIGSEGV));
        sigprocmask(SIG_UNBLOCK, &segv, NULL);
        many();
        sigprocmask(SIG_BLOCK, NULL, &now);
        printf("blocked %d\n", sigismember(&now, SIGSEGV));
    }
    fflush(stdout);
    static volatile int *volatile nowhere;
    *nowhere = 1;
}

static void in_handler(int signal)
{
    (void)signal;
    many();
}

static void signals(void)
{
    signal(SIGUSR1, in_handler);
    for (int i = 0; i < 5; i++) {
        many();
        raise(SIGUSR1);
    }
}

static void forks(void)
{
    for (int i = 0; i < 4; i++) {
        many();
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            many();
            _exit(0);
        }
        if (waitpid(child, NULL, 0) != child)
            abort();
        number += MANY;
    }
}

/* A constant that is not a valid index, among valid ones. */
static void wild(void)
{
    site *store = CODE("\x89\xb7\x80\x00\x00\x00");
    for (uint32_t i = 0; i < MANY; i++) {
        emit(store, 1);
        store(qemu_hypertrace_control_, 0x12345678);
    }
}

/* The channel is moved, and inaccessible memory is mapped at its old address. */
static void moved(void)
{
    many();
    volatile uint32_t *old = qemu_hypertrace_control_;
    char *control = (char *)(uintptr_t)old + 0x80;
    char *place = mmap(NULL, CONTROL_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mremap(control, CONTROL_SIZE, CONTROL_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, place) != place)
        abort();
    if (mmap(control, CONTROL_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != control)
        abort();
    qemu_hypertrace_control_ = (volatile uint32_t *)(void *)(place - 0x80);
    many();
    signal(SIGSEGV, caught);
    ((site *)CODE("\x89\xb7\x80\x00\x00\x00"))(old, 1);
}

static pthread_barrier_t both;

static void *one_of_two(void *argument)
{
    site *store = argument;
    uint64_t client = qemu_hypertrace_client();
    uint64_t *data = qemu_hypertrace_data(client);
    pthread_barrier_wait(&both);
    for (uint32_t i = 0; i < 10 * MANY; i++) {
        data[0] = i;
        data[1] = client;
        store(qemu_hypertrace_control_, (uint32_t)client);
    }
    return NULL;
}

static void threads(void)
{
    site *store = CODE("\x89\xb7\x80\x00\x00\x00");
    pthread_t other[2];
    if (pthread_barrier_init(&both, NULL, 2) != 0)
        abort();
    for (int i = 0; i < 2; i++)
        if (pthread_create(&other[i], NULL, one_of_two, (void *)store) != 0)
            abort();
    for (int i = 0; i < 2; i++)
        pthread_join(other[i], NULL);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } modes[] = {
        {"many", many},       {"rewritten", rewritten}, {"blocked", blocked}, {"signals", signals},
        {"forks", forks},     {"wild", wild},           {"moved", moved},     {"threads", threads},
    };
    if (argc != 2 || qemu_hypertrace_init(NULL) != 0)
        abort();
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(modes[i].name, argv[1]) == 0)
            modes[i].run();
    puts("done");
    return 0;
}
