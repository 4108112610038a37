/* hazard_processes CASE: processes, threads and limits around patched sites. */
#include "hazard.h"

#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

__asm__(".text\n"
        ".balign 64\n"
        ".globl plain_store\n"
        "plain_store: .byte 0x89, 0xb7, 0x00, 0x00, 0x00, 0x00\n"
        "ret\n"
        ".balign 64\n"
        /* bare_thread(job): a thread that accesses only the channel and its stack. */
        ".globl bare_thread\n"
        "bare_thread:\n"
        "movq %rdi, %r12\n"
        "cmpq $0, 0(%r12)\n"              /* set_pointer */
        "je 1f\n"
        "movl $158, %eax\n"               /* arch_prctl(ARCH_SET_FS, pointer) */
        "movl $0x1002, %edi\n"
        "movq 40(%r12), %rsi\n"
        "syscall\n"
        "1: movq 8(%r12), %rdi\n"         /* control */
        "movq 16(%r12), %r13\n"           /* data */
        "movl 24(%r12), %esi\n"           /* index */
        "movl 28(%r12), %ebx\n"           /* count */
        "xorl %eax, %eax\n"
        "2: movq %rax, (%r13)\n"
        "movq %rax, %rcx\n"
        "notq %rcx\n"
        "movq %rcx, 16(%r13)\n"
        ".globl bare_site\n"
        "bare_site: .byte 0x89, 0xb7, 0x00, 0x00, 0x00, 0x00\n"
        "incq %rax\n"
        "decl %ebx\n"
        "jnz 2b\n"
        "movl $1, 32(%r12)\n"
        "movl $60, %eax\n"                /* exit */
        "xorl %edi, %edi\n"
        "syscall\n"
        "hlt\n"
        ".balign 64\n");

struct job {
    uint64_t set_pointer;
    volatile uint32_t *control;
    uint64_t *data;
    uint32_t index, count;
    volatile uint32_t done;
    const void *pointer;
};

extern emitter plain_store;
extern int bare_thread(void *job);
extern const char bare_site[];

static const char long_store[] = {'\x40', '\x89', '\xb7', '\x00', '\x00', '\x00', '\x00', '\xc3'};
static const char *self;

static void emit_some(int count, uint32_t index)
{
    while (count-- > 0) {
        emit_as(plain_store, index);
    }
}

static void await(pid_t child)
{
    int status;

    assert(waitpid(child, &status, 0) == child);
    if (status != 0) {
        printf("wrong child status %#x\n", status);
        exit(1);
    }
}

/* A forked child uses patched sites, and unmaps its channel. This does not affect its parent. */
static void fork_unmaps(void)
{
    int i, j;

    for (i = 0; i < 30; i++) {
        pid_t child;

        emit_some(20, 0);
        child = fork();
        assert(child >= 0);
        if (child == 0) {
            volatile uint32_t *former = control;
            void *page;

            emit_some(20, 1);
            assert(qemu_hypertrace_fini() == 0);
            page = mmap((void *)((uintptr_t)former & -PAGE), PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
            assert(page != MAP_FAILED);
            for (j = 0; j < 20; j++) {
                plain_store(former, j);
                assert(*former == (uint32_t)j);
            }
            _exit(0);
        }
        emit_some(20, 0);
        await(child);
        total += 20;
    }
    site("jump", (const void *)plain_store);
}

/* A vfork child shares its parent's memory and thread pointer, but is another thread. */
static void vfork_emits(void)
{
    volatile int i;

    for (i = 0; i < 50; i++) {
        pid_t child;

        emit_some(10, 0);
        child = vfork();
        assert(child >= 0);
        if (child == 0) {
            emit_some(10, 0);
            _exit(0);
        }
        emit_some(10, 0);
        await(child);
    }
    site("jump", (const void *)plain_store);
}

static void spawn_emits(void)
{
    char *arguments[] = {(char *)self, "emit_only", NULL};
    extern char **environ;
    int i;

    for (i = 0; i < 10; i++) {
        pid_t child;

        emit_some(20, 0);
        assert(posix_spawn(&child, self, NULL, NULL, arguments, environ) == 0);
        emit_some(20, 0);
        await(child);
        total += 25;
    }
    site("jump", (const void *)plain_store);
}

static void emit_only(void)
{
    emit_some(25, 2);
    exit(0);
}

/* Ordinary memory at the former address of the channel works as usual. */
static void replace_channel(void)
{
    char *header = (char *)control - 0x10000;

    assert(mmap(header, 0x20000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == header);
    emit_some(1, 7);
    emitted--;
    printf("stored %u\n", *control);
}

/*
 * The program executes itself EXECS times. Exec resets everything except the seccomp filters, which accumulate. The
 * number of the exec is in the environment.
 */
static void exec_again(void)
{
    const char *turn = getenv("TURN");
    char next[16];
    int number = turn == NULL ? 0 : atoi(turn), last = atoi(getenv("EXECS"));

    emit_some(10, 0);
    if (number == last) {
        total += last * 10;
        replace_channel();
        return;
    }
    sprintf(next, "%d", number + 1);
    setenv("TURN", next, 1);
    execl(self, self, "exec_again", NULL);
    perror("execl");
    exit(1);
}

/* Forks while sites of another thread are being patched. The child has the whole patch or no patch, but never a part of
 * it. */
static char *volatile newest;
static volatile bool stop;

static void *make_sites(void *unused)
{
    (void)unused;
    while (!stop) {
        char *code = generated(long_store, sizeof long_store, 0);

        newest = code;
        emit_as((emitter *)code, 3);
        emit_as((emitter *)code, 3);
    }
    tell();
    return NULL;
}

static void fork_amid_patching(void)
{
    pthread_t thread;
    int i;

    emit_some(1, 0);
    assert(pthread_create(&thread, NULL, make_sites, NULL) == 0);
    for (i = 0; i < 150; i++) {
        char *code = newest;
        pid_t child = fork();

        assert(child >= 0);
        if (child == 0) {
            emitted = 0;
            emit_some(3, 4);
            if (code != NULL) {
                emit_as((emitter *)code, 4);
                emit_as((emitter *)code, 4);
            }
            _exit(0);
        }
        await(child);
        total += code != NULL ? 5 : 3;
    }
    stop = true;
    pthread_join(thread, NULL);
}

enum { SHORT_THREADS = 8, SHORT_EVENTS = 5 };

static void *emit_shortly(void *index)
{
    emit_some(SHORT_EVENTS, (uint32_t)(uintptr_t)index);
    return NULL;
}

static void run_short_threads(uint32_t first_index)
{
    pthread_t threads[SHORT_THREADS];
    uint32_t i;

    for (i = 0; i < SHORT_THREADS; i++)
        assert(pthread_create(&threads[i], NULL, emit_shortly, (void *)(uintptr_t)(first_index + i)) == 0);
    for (i = 0; i < SHORT_THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void *come_and_go(void *rounds)
{
    for (; !stop; ++*(uint64_t *)rounds)
        run_short_threads(1);
    return NULL;
}

/* Threads exit while the memory that refers to their rings is copied. The threads of the child then reuse their stacks,
 * and so have the same thread pointers. */
static void fork_amid_threads(void)
{
    pthread_t thread;
    uint64_t rounds = 0;
    int i;

    emit_some(1, 0);
    assert(pthread_create(&thread, NULL, come_and_go, &rounds) == 0);
    for (i = 0; i < 100; i++) {
        pid_t child = fork();

        assert(child >= 0);
        if (child == 0) {
            run_short_threads(1 + SHORT_THREADS);
            _exit(0);
        }
        await(child);
    }
    stop = true;
    pthread_join(thread, NULL);
    total += (100 + rounds) * SHORT_THREADS * SHORT_EVENTS;
}

/* A site that only children execute, each for the first time. There are more children than a chunk of pages has room
 * for trampolines. */
static void children_alone(void)
{
    const char *own = generated(long_store, sizeof long_store, 0);
    int i;

    emit((emitter *)own);
    for (i = 0; i < 400; i++) {
        pid_t child = fork();

        assert(child >= 0);
        if (child == 0) {
            emitted = 0;
            emit_some(5, 1);
            _exit(0);
        }
        await(child);
        total += 5;
    }
    site("jump", (const void *)plain_store);
}

/* Children with different code at the same address, far from all other memory. No other process has their trampolines.
 */
static void children_generate(void)
{
    char *const place = (char *)0x100000000000;
    int asked[2][2], told[2][2], turn, i;
    char byte = 0;
    pid_t child[2];

    emit_some(1, 0);
    for (i = 0; i < 2; i++) {
        assert(pipe(asked[i]) == 0 && pipe(told[i]) == 0);
        child[i] = fork();
        assert(child[i] >= 0);
        if (child[i] == 0) {
            char *code = mmap(place, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

            assert(code == place);
            memcpy(code, long_store, sizeof long_store);
            assert(mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0);
            emitted = 0;
            while (read(asked[i][0], &byte, 1) == 1 && byte != 'e') {
                int count = 50;

                while (count-- > 0) {
                    emit_as((emitter *)code, i);
                }
                assert(write(told[i][1], &byte, 1) == 1);
            }
            _exit(0);
        }
    }
    for (turn = 0; turn < 6; turn++) {
        assert(write(asked[turn % 2][1], "g", 1) == 1);
        assert(read(told[turn % 2][0], &byte, 1) == 1);
        total += 50;
    }
    for (i = 0; i < 2; i++) {
        assert(write(asked[i][1], "e", 1) == 1);
        await(child[i]);
    }
    site("jump", place);
}

static void run_bare(struct job *jobs, int count)
{
    int i, flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;

    for (i = 0; i < count; i++) {
        char *stack = mmap(NULL, 64 * 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        assert(stack != MAP_FAILED);
        assert(clone(bare_thread, stack + 64 * 1024, flags, &jobs[i]) > 0);
    }
}

static void await_bare(struct job *jobs, int count)
{
    int i;

    for (i = 0; i < count; i++) {
        while (!jobs[i].done) {
            sched_yield();
        }
        total += jobs[i].count;
    }
    site("jump", bare_site);
}

/* Threads that share one thread pointer, at the same time. */
static void same_pointer(void)
{
    static struct job jobs[2];
    int i;

    emit_some(100, 0);
    for (i = 0; i < 2; i++) {
        jobs[i] = (struct job){0, control, qemu_hypertrace_data(5 + i), 5 + i, 3000, 0, NULL};
    }
    run_bare(jobs, 2);
    emit_some(3000, 0);
    await_bare(jobs, 2);
    emit_some(3000, 0);
}

/* A thread without a thread pointer: its fs base is 0, as in a program without a C library. */
static void no_pointer(void)
{
    static struct job job;

    emit_some(100, 0);
    job = (struct job){1, control, qemu_hypertrace_data(5), 5, 5000, 0, NULL};
    run_bare(&job, 1);
    await_bare(&job, 1);
    emit_some(100, 0);
}

/* A thread whose control block is a copy of another thread's: fs:0 contains the thread pointer of the other thread. */
static void copied_pointer(void)
{
    static char block[4096] __attribute__((aligned(64)));
    static struct job job;

    memcpy(block, (const void *)pthread_self(), 64);
    emit_some(100, 0);
    job = (struct job){1, control, qemu_hypertrace_data(5), 5, 3000, 0, block};
    run_bare(&job, 1);
    emit_some(3000, 0);
    await_bare(&job, 1);
    emit_some(3000, 0);
}

/* As in Go: fs:0 does not contain a thread pointer. The threads whose fs:0 contains their thread pointer run first. */
static void other_words(void)
{
    static uint64_t blocks[2][8];
    static struct job jobs[2];
    int i;

    for (i = 0; i < 2; i++) {
        jobs[i] = (struct job){1, control, qemu_hypertrace_data(5 + i), 5 + i, 5000, 0, blocks[i]};
    }
    run_bare(jobs, 2);
    await_bare(jobs, 2);
    emit_some(3000, 0);
}

static void limit(int what, rlim_t value)
{
    struct rlimit limit = {value, value};

    assert(setrlimit(what, &limit) == 0);
}

/* An address space that is too small for all rings: fewer rings are mapped, so that the program has enough room. */
static void limited_memory(void)
{
    limit(RLIMIT_AS, (rlim_t)1 << 30);
    emit_some(500, 0);
    assert(malloc((size_t)700 << 20) != NULL);
    site("jump", (const void *)plain_store);
}

static void tiny_memory(void)
{
    limit(RLIMIT_AS, (rlim_t)8 << 20);
    emit_some(500, 0);
    site("refused", (const void *)plain_store);
}

/* The process has no free descriptor with which htrun could open its memory file. */
static void no_descriptors(void)
{
    limit(RLIMIT_NOFILE, 3);
    emit_some(500, 0);
    site("refused", (const void *)plain_store);
}

/* The program has no /proc. */
static void no_proc(void)
{
    char directory[] = "/tmp/hazard-XXXXXX";
    int parent = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

    assert(parent >= 0 && mkdtemp(directory) != NULL);
    if (geteuid() != 0) {
        assert(unshare(CLONE_NEWUSER) == 0);
    }
    assert(chroot(directory) == 0 && chdir("/") == 0);
    emit_some(500, 0);
    site("jump", (const void *)plain_store);
    assert(unlinkat(parent, directory + strlen("/tmp/"), AT_REMOVEDIR) == 0);
}

/* The program changes to another user than that of htrun. */
static void other_user(void)
{
    if (geteuid() == 0) {
        assert(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    } else {
        assert(unshare(CLONE_NEWUSER) == 0);
    }
    emit_some(500, 0);
    site("jump", (const void *)plain_store);
}

/* The guest's own sandbox, which kills it for unexpected calls. */
static void own_filter(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_write, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    printf("before\n");
    emit_some(100, 0);
    assert(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    assert(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    emit_some(100, 0);
    emit_as((emitter *)newest, 0);
    emit_as((emitter *)newest, 0);
    site("jump", (const void *)plain_store);
    site("refused", newest);
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(void); } cases[] = {
        {"fork_unmaps", fork_unmaps},
        {"vfork_emits", vfork_emits},
        {"spawn_emits", spawn_emits},
        {"emit_only", emit_only},
        {"exec_again", exec_again},
        {"fork_amid_patching", fork_amid_patching},
        {"fork_amid_threads", fork_amid_threads},
        {"children_alone", children_alone},
        {"children_generate", children_generate},
        {"same_pointer", same_pointer},
        {"no_pointer", no_pointer},
        {"copied_pointer", copied_pointer},
        {"other_words", other_words},
        {"limited_memory", limited_memory},
        {"tiny_memory", tiny_memory},
        {"no_descriptors", no_descriptors},
        {"no_proc", no_proc},
        {"other_user", other_user},
        {"own_filter", own_filter},
    };
    size_t i;

    self = argv[0];
    open_channel();
    newest = strcmp(argv[1], "own_filter") == 0 ? generated(long_store, sizeof long_store, 0) : NULL;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (argc > 1 && strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return done();
        }
    }
    fprintf(stderr, "unknown case\n");
    return 2;
}
