/*
 * Runs random programs of stores, and records what it emitted.
 *
 *     property_interpreter SCRIPT LOG
 *
 * SCRIPT (tests/property/script.py writes it) contains programs. A program consists of pieces of machine code with
 * sites, and routines. The operations of a routine run these sites in threads, children and signal handlers, while code
 * is rewritten and the channel is moved. LOG gets one entry for each event, written around the store, in memory that
 * all processes share.
 *
 * Before each call of a site, all registers and flags are set. After it, they and the red zone are compared.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

#define LEVELS 4
#define MAX_BLOBS 4
#define MAX_THREADS 16
#define FIXED_INDEXES 64
#define FIRST_ACTOR (FIXED_INDEXES / LEVELS)
#define ARITHMETIC_FLAGS UINT64_C(0x8d5)
#define MEMBARRIER_SYNC_CORE (1 << 5)
#define MEMBARRIER_REGISTER_SYNC_CORE (1 << 6)
#define WRITER_PATIENCE 2000

#define SIGNAL_EMIT SIGRTMIN
#define SIGNAL_JUMP (SIGRTMIN + 1)
#define SIGNAL_TWICE (SIGRTMIN + 2)

static void fail(const char *what)
{
    fprintf(stderr, "property_interpreter: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The script, in the layout of its file. */

enum source { SENTINEL, CONTROL, INDEX, SWAPPED32, SWAPPED64, GS_CONTROL, FS_CONTROL };
enum kind { ANONYMOUS, PRIVATE_FILE, ALIAS };
enum operation {
    EMIT, RAISE, TIMED, JUMP, SPAWN, FORK, VFORK, REWRITE, RELINK, POKE, JOIN, REMAP, KILLED
};

struct site {
    uint32_t offset;
    uint32_t length;
    uint32_t end;               /* offset of the site's stub */
    uint32_t fixed_index;       /* UINT32_MAX: the index of the actor */
    uint32_t absolute;          /* the code contains the initial address of the control word */
    uint32_t relink;            /* offset of a displacement that is rewritten, or 0 */
    int32_t displacements[2];
    uint32_t flags_after;       /* UINT32_MAX: the flags do not change */
    uint8_t xmm;                /* 255: none */
    uint8_t lane;
    uint8_t size;
    uint8_t unused;
    uint8_t source[16];
    uint64_t value[16];
};

struct op {
    uint16_t code, signal;
    uint32_t a, count, pick, delay, repeat;
};

struct blob {
    char *address;
    uint64_t size;
    uint64_t kind;
    uint64_t variants;
    const char *code[4];
    const struct site *sites[4];
    uint64_t site_counts[4];
    char *alias;
    atomic_uint current;
    atomic_int readers, writer;
};

struct routine {
    uint64_t count;
    const struct op *ops;
};

/* The log. */

enum state { UNUSED, INTENDED, DONE, NOT_EMITTED };

struct entry {
    uint32_t stream, sequence;  /* together, these are the event's first argument */
    uint32_t tid;
    uint32_t index;
    uint32_t state;
    uint32_t below_done;        /* events of the interrupted stream that are certainly before this event */
    uint32_t below_intended;    /* the number of the first event that is certainly after it */
    uint32_t program;
};

struct log {
    atomic_uint entries, actors, failures, unused;
    atomic_uint fixed_taken[FIXED_INDEXES];
    atomic_uint progress;
};

#define LOG_SIZE (UINT64_C(1) << 28)
static struct log *shared;
static struct entry *entries;

/* A thread. The handlers that interrupt it emit as separate streams. */

struct stream {
    uint32_t intended, done;
    uint32_t certain_done, certain_intended;    /* values that the interrupting handler reads */
    const char *store, *end;
    struct entry *open;
    struct blob *held;
    atomic_uint *fixed;
};

struct actor {
    uint32_t id;
    pid_t tid;
    int level;
    struct stream streams[LEVELS];
    sigjmp_buf landing;
    volatile bool armed;
    bool has_timer;
    timer_t timer;
    volatile uint32_t repeats;
    uint32_t delay;
    uint32_t picks;
    pthread_t threads[MAX_THREADS];
    int thread_count;
};

static __thread struct actor *self;

static char *home, *volatile control, *data;
static const char *channel_path;
static uint64_t num_args, slot_stride, channel_size, data_offset, control_offset, max_clients;
static uint64_t gs_base;
static struct blob blobs[MAX_BLOBS];
static unsigned blob_count;
static struct routine routines[8];
static uint32_t program_number;
static atomic_int live_threads;

/* Calls a site with all registers set. */

struct call {
    uint64_t in[16];
    uint64_t flags;
    const char *target;
    uint64_t out[16];
    uint64_t out_flags;
    uint8_t xmm[16][16];
};
_Static_assert(offsetof(struct call, flags) == 128 && offsetof(struct call, target) == 136, "used below");
_Static_assert(offsetof(struct call, out) == 144 && offsetof(struct call, out_flags) == 272, "used below");
_Static_assert(offsetof(struct call, xmm) == 280, "used below");

uint64_t call_site(struct call *call);
__asm__(
    ".text; .type call_site, @function\n"
    "call_site:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "push %rdi; push 136(%rdi)\n"
    "mov $0x5eed5eed5eed5eed, %rax\n"
    /* The red zone of the stub begins 8 bytes below. A signal may overwrite its last word here. */
    ".irp place, 16,24,32,40,48,56,64,72,80,88,96,104,112,120,128\n"
    "mov %rax, -\\place(%rsp)\n"
    ".endr\n"
    ".irp number, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "movups 280+16*\\number(%rdi), %xmm\\number\n"
    ".endr\n"
    "push 128(%rdi); popfq\n"
    "mov 0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx; mov 40(%rdi), %rbp\n"
    "mov 48(%rdi), %rsi; mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11\n"
    "mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15; mov 56(%rdi), %rdi\n"
    "call *(%rsp)\n"
    "xchg %rdi, 8(%rsp)\n"
    "mov %rax, 144(%rdi); mov %rcx, 152(%rdi); mov %rdx, 160(%rdi); mov %rbx, 168(%rdi); mov %rbp, 184(%rdi)\n"
    "mov %rsi, 192(%rdi); mov %r8, 208(%rdi); mov %r9, 216(%rdi); mov %r10, 224(%rdi); mov %r11, 232(%rdi)\n"
    "mov %r12, 240(%rdi); mov %r13, 248(%rdi); mov %r14, 256(%rdi); mov %r15, 264(%rdi)\n"
    "mov 8(%rsp), %rax; mov %rax, 200(%rdi)\n"
    "pushfq; pop 272(%rdi)\n"
    "mov $0x5eed5eed5eed5eed, %rdx\n"
    "xor %eax, %eax\n"
    ".irp place, 16,24,32,40,48,56,64,72,80,88,96,104,112,120,128\n"
    "mov -\\place(%rsp), %rcx; xor %rdx, %rcx; or %rcx, %rax\n"
    ".endr\n"
    "add $16, %rsp\n"
    "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "ret\n"
    ".size call_site, . - call_site\n");

static uint64_t mixed(uint64_t event, uint64_t number)
{
    uint64_t value = (event + number) * UINT64_C(0x9e3779b97f4a7c15);
    return value ^ value >> 29;
}

static uint64_t source_value(const struct site *site, unsigned number, uint32_t index, uint64_t fs_base)
{
    uint64_t value = site->value[number];
    uint64_t word = (uintptr_t)control;
    switch (site->source[number]) {
    case CONTROL: return word + value;
    case INDEX: return index ^ value << 32;
    case SWAPPED32: return __builtin_bswap32(index) | value << 32;
    case SWAPPED64: return __builtin_bswap64(index);
    case GS_CONTROL: return word - gs_base + value;
    case FS_CONTROL: return word - fs_base + value;
    default: return value;
    }
}

static void complain(const struct call *call, uint64_t red_zone)
{
    atomic_fetch_add(&shared->failures, 1);
    fprintf(stderr, "site at %p (program %u): red zone %#llx, flags %#llx -> %#llx\n", (void *)call->target,
            program_number, (unsigned long long)red_zone, (unsigned long long)call->flags,
            (unsigned long long)call->out_flags);
    for (int number = 0; number < 16; number++)
        if (number != 4 && call->in[number] != call->out[number])
            fprintf(stderr, "  register %d: %#llx -> %#llx\n", number, (unsigned long long)call->in[number],
                    (unsigned long long)call->out[number]);
}

static void run_site(const struct blob *blob, const struct site *site, uint32_t index, uint64_t event)
{
    struct call call;
    uint64_t fs_base;
    __asm__("mov %%fs:0, %0" : "=r" (fs_base));
    for (unsigned number = 0; number < 16; number++)
        call.in[number] = source_value(site, number, index, fs_base);
    memset(call.xmm, 0xa5, sizeof call.xmm);
    if (site->xmm != 255) {
        uint64_t wide = index;
        memcpy(&call.xmm[site->xmm][site->lane], &wide, site->size);
    }
    call.flags = 0x202 | (mixed(event, 99) & ARITHMETIC_FLAGS);
    if (site->flags_after != UINT32_MAX && site->flags_after & 0x10000)
        call.flags = 0x202 | (site->flags_after & ARITHMETIC_FLAGS);
    call.target = blob->address + site->offset;
    uint64_t red_zone = call_site(&call);
    call.in[4] = call.out[4] = 0;
    uint64_t flags = site->flags_after == UINT32_MAX ? call.flags : site->flags_after;
    if (red_zone || (flags ^ call.out_flags) & ARITHMETIC_FLAGS || memcmp(call.in, call.out, sizeof call.in))
        complain(&call, red_zone);
}

/* Code that some threads execute (readers) and others rewrite (writers). No thread waits forever. */

static bool enter(struct blob *blob, bool wait)
{
    for (;;) {
        atomic_fetch_add(&blob->readers, 1);
        if (!atomic_load(&blob->writer))
            return true;
        atomic_fetch_sub(&blob->readers, 1);
        if (!wait)
            return false;
        sched_yield();
    }
}

static void leave(struct blob *blob)
{
    atomic_fetch_sub(&blob->readers, 1);
}

static void emit(struct actor *actor, struct blob *blob, uint32_t pick)
{
    struct stream *stream = &actor->streams[actor->level];
    if (!enter(blob, actor->level == 0))
        return;
    stream->held = blob;
    unsigned variant = atomic_load(&blob->current);
    const struct site *site = &blob->sites[variant][pick % blob->site_counts[variant]];
    uint32_t index = actor->id * LEVELS + (uint32_t)actor->level;
    if (index >= max_clients || (site->absolute && control != home))
        goto out;
    if (site->fixed_index != UINT32_MAX) {
        index = site->fixed_index;
        if (atomic_exchange(&shared->fixed_taken[index], 1))
            goto out;
        stream->fixed = &shared->fixed_taken[index];
    }
    uint32_t number = atomic_fetch_add(&shared->entries, 1);
    if ((number + 1) * sizeof(struct entry) + 4096 > LOG_SIZE)
        fail("too many events");
    struct entry *entry = &entries[number];
    entry->stream = actor->id * LEVELS + (uint32_t)actor->level;
    entry->sequence = stream->intended;
    entry->tid = (uint32_t)actor->tid;
    entry->index = index;
    entry->program = program_number;
    if (actor->level > 0) {
        entry->below_done = stream[-1].certain_done;
        entry->below_intended = stream[-1].certain_intended;
    }
    uint64_t event = (uint64_t)entry->stream << 32 | entry->sequence;
    uint64_t *slot = (uint64_t *)(data + index * slot_stride);
    slot[0] = event;
    for (uint64_t argument = 1; argument < num_args; argument++)
        slot[argument] = mixed(event, argument);
    stream->store = blob->address + site->offset;
    stream->end = blob->address + site->end;
    /* The order matters, because a handler may jump away between any two of these. */
    stream->intended++;
    atomic_signal_fence(memory_order_seq_cst);
    entry->state = INTENDED;
    atomic_signal_fence(memory_order_seq_cst);
    stream->open = entry;
    atomic_signal_fence(memory_order_seq_cst);
    run_site(blob, site, index, event);
    atomic_signal_fence(memory_order_seq_cst);
    entry->state = DONE;
    stream->done++;
    atomic_signal_fence(memory_order_seq_cst);
    stream->open = NULL;
    if (stream->fixed != NULL)
        atomic_store(stream->fixed, 0);
    stream->fixed = NULL;
out:
    stream->held = NULL;
    leave(blob);
}

/* Signals. */

/* What the interrupting handler can know about the last event of a stream. Usually, the program counter shows
 * everything. */
static void look_below(struct stream *below, const char *at)
{
    below->certain_done = below->done;
    below->certain_intended = below->intended;
    if (below->open == NULL || below->done == below->intended)
        return;
    if (at == below->store)
        below->certain_intended = below->done;
    else if (at > below->store && at < below->end)
        below->certain_done = below->intended;
}

static void abandon(struct actor *actor, int down_to)
{
    for (int level = actor->level; level >= down_to; level--) {
        struct stream *stream = &actor->streams[level];
        if (stream->open != NULL && stream->done != stream->intended) {
            if (stream->certain_done == stream->intended)
                stream->open->state = DONE;
            else if (stream->certain_intended == stream->done)
                stream->open->state = NOT_EMITTED;
        }
        stream->done = stream->intended;
        stream->open = NULL;
        if (stream->fixed != NULL)
            atomic_store(stream->fixed, 0);
        stream->fixed = NULL;
        if (stream->held != NULL)
            leave(stream->held);
        stream->held = NULL;
    }
    actor->level = down_to;
}

static void start_timer(struct actor *actor)
{
    struct itimerspec when = {.it_value = {.tv_nsec = actor->delay}};
    timer_settime(actor->timer, 0, &when, NULL);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    struct actor *actor = self;
    int saved = errno;
    (void)info;
    if (actor == NULL || actor->level == LEVELS - 1)
        return;
    const char *at = (const char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    look_below(&actor->streams[actor->level], at);
    actor->level++;
    for (int events = number == SIGNAL_TWICE ? 2 : 1; events > 0 && blob_count > 0; events--) {
        uint32_t pick = actor->picks++;
        emit(actor, &blobs[pick % blob_count], pick / blob_count);
    }
    if (actor->repeats > 0) {
        actor->repeats--;
        start_timer(actor);
    }
    if (number == SIGNAL_JUMP && actor->armed) {
        actor->armed = false;
        abandon(actor, 0);
        siglongjmp(actor->landing, 1);
    }
    actor->level--;
    errno = saved;
}

static void catch_signals(void)
{
    for (int number = SIGNAL_EMIT; number <= SIGNAL_TWICE; number++) {
        struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
        sigaction(number, &action, NULL);
    }
}

/* Actors. */

static void become(struct actor *actor)
{
    memset(actor, 0, sizeof *actor);
    actor->id = FIRST_ACTOR + atomic_fetch_add(&shared->actors, 1);
    actor->tid = (pid_t)syscall(SYS_gettid);
    syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, gs_base);
    atomic_signal_fence(memory_order_seq_cst);
    self = actor;
}

static void run(struct actor *actor, const struct routine *routine);

static void *thread_main(void *routine)
{
    struct actor actor;
    become(&actor);
    run(&actor, routine);
    self = NULL;
    atomic_fetch_sub(&live_threads, 1);
    return NULL;
}

static void join(struct actor *actor)
{
    while (actor->thread_count > 0)
        pthread_join(actor->threads[--actor->thread_count], NULL);
}

static void spawn(struct actor *actor, const struct routine *routine)
{
    if (actor->thread_count == MAX_THREADS)
        join(actor);
    atomic_fetch_add(&live_threads, 1);
    pthread_t *thread = &actor->threads[actor->thread_count];
    if ((errno = pthread_create(thread, NULL, thread_main, (void *)routine)) != 0)
        fail("pthread_create");
    actor->thread_count++;
}

static void must_succeed(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            fail("waitpid");
    if (status != 0) {
        fprintf(stderr, "a child of program %u ended with wait status %#x\n", program_number, status);
        atomic_fetch_add(&shared->failures, 1);
    }
}

static void map_file(struct blob *blob, const char *code, bool alias);

/* The child has none of the parent's other threads, so their locks are free. Shared code becomes private to the child.
 */
static void forget_others(void)
{
    atomic_store(&live_threads, 1);
    for (unsigned number = 0; number < blob_count; number++) {
        struct blob *blob = &blobs[number];
        atomic_store(&blob->readers, 0);
        atomic_store(&blob->writer, 0);
        if (blob->kind == ALIAS) {
            munmap(blob->alias, blob->size);
            map_file(blob, blob->code[atomic_load(&blob->current)], true);
        }
    }
}

/* A child must not be created while code is partly rewritten. */
static void lock_all(void)
{
    for (unsigned number = 0; number < blob_count; number++)
        enter(&blobs[number], true);
}

static void unlock_all(void)
{
    for (unsigned number = 0; number < blob_count; number++)
        leave(&blobs[number]);
}

static pid_t fork_whole(void)
{
    lock_all();
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0)
        forget_others();
    else
        unlock_all();
    return child;
}

static void fork_routine(const struct routine *routine)
{
    pid_t child = fork_whole();
    if (child == 0) {
        struct actor actor;
        become(&actor);
        run(&actor, routine);
        _exit(0);
    }
    must_succeed(child);
}

static void vfork_child(struct actor *actor, const struct op *op)
{
    struct actor *volatile parent = actor;
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    volatile pid_t child = vfork();
    if (child == 0) {
        struct actor mine;
        become(&mine);
        for (uint32_t number = 0; number < op->count; number++)
            emit(&mine, &blobs[op->a], op->pick + number);
        self = parent;
        _exit(0);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (child < 0)
        fail("vfork");
    must_succeed(child);
}

static void kill_child(const struct op *op)
{
    atomic_store(&shared->progress, 0);
    pid_t child = fork_whole();
    if (child == 0) {
        struct actor actor;
        become(&actor);
        for (uint32_t number = 0;; number++) {
            if (number < 60 * op->count)
                emit(&actor, &blobs[op->a], op->pick + number);
            else
                sched_yield();
            atomic_store(&shared->progress, number);
        }
    }
    while (atomic_load(&shared->progress) < op->count)
        sched_yield();
    kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0)
        if (errno != EINTR)
            fail("waitpid");
}

/* Code. */

/* Everything is mapped into ranges that are reserved at the start, so that no other mapping is placed there. */
static void keep(void *address, uint64_t size)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    if (mmap(address, size, PROT_NONE, flags, -1, 0) == MAP_FAILED)
        fail("mmap of free memory");
}

static void map_file(struct blob *blob, const char *code, bool alias)
{
    int fd = memfd_create("code", MFD_CLOEXEC);
    if (fd < 0 || write(fd, code, blob->size) != (ssize_t)blob->size)
        fail("memfd");
    int flags = alias ? MAP_SHARED : MAP_PRIVATE;
    void *at = mmap(blob->address, blob->size, PROT_READ | PROT_EXEC, flags | MAP_FIXED, fd, 0);
    if (at == MAP_FAILED)
        fail("mmap of code");
    if (alias) {
        blob->alias = mmap(NULL, blob->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (blob->alias == MAP_FAILED)
            fail("mmap of code");
    }
    close(fd);
}

static void map_anonymous(struct blob *blob)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    if (mmap(blob->address, blob->size, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0) == MAP_FAILED)
        fail("mmap of code");
}

static void put_code(struct blob *blob, unsigned variant, unsigned how)
{
    const char *code = blob->code[variant];
    if (blob->kind == PRIVATE_FILE) {
        map_file(blob, code, false);
    } else if (blob->kind == ALIAS) {
        memcpy(blob->alias, code, blob->size);
    } else {
        if (how == 1)
            keep(blob->address, blob->size);
        if (how == 1 || how == 2)
            map_anonymous(blob);
        if (how == 3)
            mprotect(blob->address, blob->size, PROT_READ | PROT_WRITE);
        memcpy(blob->address, code, blob->size);
        if (how == 3)
            mprotect(blob->address, blob->size, PROT_READ | PROT_WRITE | PROT_EXEC);
    }
    syscall(SYS_membarrier, MEMBARRIER_SYNC_CORE, 0, 0);
    atomic_store(&blob->current, variant);
}

static void rewrite(struct blob *blob, unsigned variant, unsigned how)
{
    if (atomic_exchange(&blob->writer, 1))
        return;
    int patience = WRITER_PATIENCE;
    while (atomic_load(&blob->readers) != 0 && --patience > 0)
        sched_yield();
    if (patience > 0)
        put_code(blob, variant % blob->variants, how);
    atomic_store(&blob->writer, 0);
}

/* Changes the displacement of a jump after a site with a single store, while other threads may execute it, as an
 * emulator does to link its blocks. */
static void relink(struct blob *blob, uint32_t times)
{
    if (blob->kind == PRIVATE_FILE)
        return;
    enter(blob, true);
    unsigned variant = atomic_load(&blob->current);
    char *base = blob->kind == ALIAS ? blob->alias : blob->address;
    for (uint32_t turn = 0; turn < times; turn++)
        for (uint64_t number = 0; number < blob->site_counts[variant]; number++) {
            const struct site *site = &blob->sites[variant][number];
            if (site->relink != 0)
                __atomic_store_n((int32_t *)(base + site->relink), site->displacements[turn & 1], __ATOMIC_RELEASE);
        }
    leave(blob);
}

/* The channel. */

static void map_channel(char *at)
{
    int fd = open(channel_path, O_RDWR | O_CLOEXEC);
    /* total_size: the size that programs map if they do not know about rings. */
    if (fd < 0 || pread(fd, &channel_size, sizeof channel_size, 0x38) != sizeof channel_size)
        fail("open of the channel");
    int flags = at != NULL ? MAP_SHARED | MAP_FIXED : MAP_SHARED;
    char *base = mmap(at, channel_size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (base == MAP_FAILED)
        fail("mmap of the channel");
    close(fd);
    uint32_t arguments;
    memcpy(&arguments, base + 0x0c, sizeof arguments);
    num_args = arguments;
    memcpy(&max_clients, base + 0x10, sizeof max_clients);
    memcpy(&control_offset, base + 0x18, sizeof control_offset);
    memcpy(&data_offset, base + 0x28, sizeof data_offset);
    memcpy(&slot_stride, base + 0x30, sizeof slot_stride);
    data = base + data_offset;
    control = base + control_offset;
}

static void unmap_channel(void)
{
    char *base = control - control_offset;
    if (control == home)
        keep(base, channel_size);
    else
        munmap(base, channel_size);
}

static void remap(bool away)
{
    if (atomic_load(&live_threads) != 1)
        return;
    char *old = control;
    unmap_channel();
    map_channel(away ? NULL : home - control_offset);
    /* The former address of the control word is now ordinary memory. */
    if (control != old && old == home) {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
        uint32_t *word = mmap(old, 4096, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (word != (uint32_t *)old)
            fail("mmap where the control word was");
        *(volatile uint32_t *)word = 77;
        if (*(volatile uint32_t *)word != 77)
            atomic_fetch_add(&shared->failures, 1);
        keep(word, 4096);
    }
}

/* Operations. */

static void burst(struct actor *actor, const struct op *op)
{
    for (uint32_t number = 0; number < op->count; number++)
        emit(actor, &blobs[op->a], op->pick + number);
}

static void timed(struct actor *actor, const struct op *op)
{
    if (!actor->has_timer) {
        struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + op->signal};
        event._sigev_un._tid = actor->tid;
        if (timer_create(CLOCK_MONOTONIC, &event, &actor->timer) != 0)
            fail("timer_create");
        actor->has_timer = true;
    }
    actor->delay = op->delay;
    actor->repeats = op->repeat;
    start_timer(actor);
    burst(actor, op);
}

static void end_timer(struct actor *actor)
{
    actor->repeats = 0;
    if (actor->has_timer)
        timer_delete(actor->timer);
    actor->has_timer = false;
}

static void jump(struct actor *actor, const struct op *op)
{
    if (sigsetjmp(actor->landing, 1) == 0) {
        actor->armed = true;
        if (op->repeat == 0) {
            emit(actor, &blobs[op->a], op->pick);
            raise(SIGNAL_JUMP);
        } else {
            timed(actor, op);
        }
    }
    actor->armed = false;
    end_timer(actor);
}

static void poke(struct actor *actor, const struct op *op)
{
    for (uint32_t turn = 0; turn < op->count; turn++)
        for (int number = 0; number < actor->thread_count; number++)
            pthread_kill(actor->threads[number], SIGRTMIN + op->signal);
}

static void run_op(struct actor *actor, const struct op *op)
{
    switch (op->code) {
    case EMIT: burst(actor, op); break;
    case RAISE: syscall(SYS_tgkill, getpid(), actor->tid, SIGRTMIN + op->signal); break;
    case TIMED: timed(actor, op); end_timer(actor); break;
    case JUMP: jump(actor, op); break;
    case SPAWN: spawn(actor, &routines[op->a]); break;
    case FORK: fork_routine(&routines[op->a]); break;
    case VFORK: vfork_child(actor, op); break;
    case REWRITE: rewrite(&blobs[op->a], op->pick, op->count); break;
    case RELINK: relink(&blobs[op->a], op->count); break;
    case POKE: poke(actor, op); break;
    case JOIN: join(actor); break;
    case REMAP: remap(op->pick & 1); break;
    case KILLED: kill_child(op); break;
    default: errno = EINVAL; fail("operation");
    }
}

static void run(struct actor *actor, const struct routine *routine)
{
    for (uint64_t number = 0; number < routine->count; number++)
        run_op(actor, &routine->ops[number]);
    join(actor);
}

/* Programs. */

static const char *cursor;

static uint64_t next_word(void)
{
    uint64_t word;
    memcpy(&word, cursor, sizeof word);
    cursor += sizeof word;
    return word;
}

static const void *next_bytes(uint64_t size)
{
    const char *bytes = cursor;
    cursor += (size + 7) / 8 * 8;
    return bytes;
}

static void read_blob(struct blob *blob)
{
    memset(blob, 0, sizeof *blob);
    blob->address = (char *)next_word();
    blob->size = next_word();
    blob->kind = next_word();
    blob->variants = next_word();
    for (uint64_t variant = 0; variant < blob->variants; variant++) {
        blob->code[variant] = next_bytes(blob->size);
        blob->site_counts[variant] = next_word();
        blob->sites[variant] = next_bytes(blob->site_counts[variant] * sizeof(struct site));
    }
}

static void read_program(void)
{
    home = (char *)next_word();
    gs_base = next_word();
    blob_count = (unsigned)next_word();
    for (unsigned number = 0; number < blob_count; number++)
        read_blob(&blobs[number]);
    uint64_t routine_count = next_word();
    for (uint64_t number = 0; number < routine_count; number++) {
        routines[number].count = next_word();
        routines[number].ops = next_bytes(routines[number].count * sizeof(struct op));
    }
}

static void run_program(void)
{
    struct actor actor;
    atomic_store(&live_threads, 1);
    map_channel(home - 0x10000);
    for (unsigned number = 0; number < blob_count; number++) {
        if (blobs[number].kind == ANONYMOUS)
            map_anonymous(&blobs[number]);
        else
            map_file(&blobs[number], blobs[number].code[0], blobs[number].kind == ALIAS);
        put_code(&blobs[number], 0, 0);
    }
    become(&actor);
    run(&actor, &routines[0]);
    self = NULL;
    for (unsigned number = 0; number < blob_count; number++) {
        keep(blobs[number].address, blobs[number].size);
        if (blobs[number].alias != NULL)
            munmap(blobs[number].alias, blobs[number].size);
    }
    unmap_channel();
}

static void open_log(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, LOG_SIZE) != 0)
        fail(path);
    shared = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (shared == MAP_FAILED)
        fail(path);
    entries = (struct entry *)((char *)shared + 4096);
    close(fd);
}

static void open_script(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        fail(path);
    cursor = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (cursor == MAP_FAILED)
        fail(path);
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    channel_path = getenv("HYPERTRACE");
    open_script(argv[1]);
    open_log(argv[2]);
    catch_signals();
    syscall(SYS_membarrier, MEMBARRIER_REGISTER_SYNC_CORE, 0, 0);
    for (uint64_t homes = next_word(); homes > 0; homes--) {
        char *start = (char *)next_word();
        uint64_t size = next_word();
        if (mmap(start, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != start)
            fail("mmap of free memory");
    }
    uint64_t programs = next_word();
    for (uint64_t number = 0; number < programs; number++) {
        uint64_t isolated = next_word();
        program_number = (uint32_t)number;
        read_program();
        if (!isolated) {
            run_program();
            continue;
        }
        pid_t child = fork();
        if (child < 0)
            fail("fork");
        if (child == 0) {
            run_program();
            _exit(0);
        }
        must_succeed(child);
    }
    return atomic_load(&shared->failures) != 0;
}
