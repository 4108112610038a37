/* Changes of the channel's mapping while other threads emit, or store to an address at which the channel was mapped
 * before. */
#include "hazard.h"

#include <fcntl.h>
#include <setjmp.h>

enum { CONTROL_AT = 0x10000, DATA_AT = 0x20000, EMITTERS = 2, CHANGES = 150 };

static bool stop;
static char *channel;
static size_t channel_size;

__attribute__((noinline)) static void plain_store(volatile uint32_t *where, uint32_t index)
{
    *where = index;
}

/* Emits in bursts that fill a small ring, so that rings are often full. */
static void *emit_until_stopped(void *index)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        emit_as(plain_store, (uint32_t)(uintptr_t)index);
        if (emitted % 1500 == 0) {
            usleep(5000);
        }
    }
    tell();
    return NULL;
}

/* Calls @change for the channel CHANGES times, while two other threads emit. */
static void amid_events(void (*change)(int turn))
{
    pthread_t threads[EMITTERS];
    int i;

    for (i = 0; i < EMITTERS; i++) {
        assert(pthread_create(&threads[i], NULL, emit_until_stopped, (void *)(uintptr_t)(i + 1)) == 0);
    }
    for (i = 0; i < CHANGES; i++) {
        change(i);
        emit(plain_store);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (i = 0; i < EMITTERS; i++) {
        assert(pthread_join(threads[i], NULL) == 0);
    }
}

/* Maps the channel over itself: all of it, only its control region, and all except its header. */
static void map_over(int turn)
{
    static const size_t starts[] = {0, CONTROL_AT, CONTROL_AT}, ends[] = {0, DATA_AT, 0};
    size_t start = starts[turn % 3], end = ends[turn % 3] != 0 ? ends[turn % 3] : channel_size;
    int file = open(getenv("HYPERTRACE"), O_RDWR | O_CLOEXEC);

    assert(file >= 0);
    assert(mmap(channel + start, end - start, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, start) ==
           channel + start);
    close(file);
}

static void mapped_over_amid_events(void)
{
    amid_events(map_over);
}

/* The control region never becomes accessible. All other requested protections are set. */
static void unprotect(int turn)
{
    static const size_t starts[] = {0, CONTROL_AT, 0}, ends[] = {0, DATA_AT, DATA_AT};
    size_t start = starts[turn % 3], end = ends[turn % 3] != 0 ? ends[turn % 3] : channel_size;

    assert(mprotect(channel + start, end - start, PROT_READ | PROT_WRITE) == 0);
    assert(mprotect(channel + CONTROL_AT + 1, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EINVAL);
}

static void unprotected_amid_events(void)
{
    amid_events(unprotect);
}

/* The other thread of the cases below. It has emitted before. It stores as soon as the channel is no longer mapped at
 * the address of the control word; this store is not an event. */
static pthread_barrier_t turn_begins, turn_ends;
static void (*await_memory)(uint32_t turn);
static void (*leave_memory)(void);

static void *store_elsewhere(void *unused)
{
    uint32_t turn;

    (void)unused;
    for (turn = 1; turn <= CHANGES; turn++) {
        volatile uint32_t *word = control;

        emit_as(plain_store, 1);
        emit_as(plain_store, 1);
        pthread_barrier_wait(&turn_begins);
        await_memory(turn);
        plain_store(word, turn);
        assert(*word == turn);
        leave_memory();
        pthread_barrier_wait(&turn_ends);
        pthread_barrier_wait(&turn_begins);
    }
    tell();
    return NULL;
}

/* @give_up removes the channel's mapping, and @take_back maps it again. */
static void amid_stores(void (*give_up)(uint32_t turn), void (*take_back)(void))
{
    pthread_t thread;
    uint32_t turn;

    assert(pthread_barrier_init(&turn_begins, NULL, 2) == 0 && pthread_barrier_init(&turn_ends, NULL, 2) == 0);
    assert(pthread_create(&thread, NULL, store_elsewhere, NULL) == 0);
    for (turn = 1; turn <= CHANGES; turn++) {
        emit(plain_store);
        pthread_barrier_wait(&turn_begins);
        give_up(turn);
        pthread_barrier_wait(&turn_ends);
        take_back();
        pthread_barrier_wait(&turn_begins);
    }
    assert(pthread_join(thread, NULL) == 0);
}

static void find_channel(void)
{
    open_channel();
    channel = (char *)control - CONTROL_AT;
}

/* The channel is unmapped, and another thread immediately allocates memory at this address. */
static void allocate(uint32_t turn)
{
    void *page;

    (void)turn;
    do {
        page = mmap(channel + CONTROL_AT, PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    } while (page == MAP_FAILED);
}

static void free_page(void)
{
    assert(munmap(channel + CONTROL_AT, PAGE) == 0);
}

static void unmap(uint32_t turn)
{
    (void)turn;
    assert(qemu_hypertrace_fini() == 0);
}

static void unmapped_amid_stores(void)
{
    await_memory = allocate;
    leave_memory = free_page;
    amid_stores(unmap, find_channel);
}

/* Another file is mapped over the channel. A word in the file shows this to the other thread. */
enum { WORD_AT = DATA_AT + 8 };

static int other_file;

static void read_turn(uint32_t turn)
{
    while (*(volatile uint32_t *)(channel + WORD_AT) != turn)
        ;
}

static void keep_memory(void)
{
}

static void map_other_file(uint32_t turn)
{
    assert(pwrite(other_file, &turn, sizeof turn, WORD_AT) == sizeof turn);
    assert(mmap(channel, channel_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, other_file, 0) == channel);
}

static void map_channel_again(void)
{
    map_over(0);
}

static void replaced_amid_stores(void)
{
    other_file = memfd_create("other", MFD_CLOEXEC);
    assert(other_file >= 0 && ftruncate(other_file, (off_t)channel_size) == 0);
    await_memory = read_turn;
    leave_memory = keep_memory;
    amid_stores(map_other_file, map_channel_again);
}

static char *code_page;
static __thread sigjmp_buf without_code;
static __thread unsigned long jumps;

static void jump_back(int number)
{
    (void)number;
    siglongjmp(without_code, 1);
}

/* Emits by code that may be unmapped, or become unmapped, at any time. It is unknown whether the last event before a
 * jump was emitted. */
static void *emit_by_fleeting_code(void *unused)
{
    (void)unused;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        if (sigsetjmp(without_code, 1) == 0) {
            emit((emitter *)code_page);
        } else {
            jumps++;
        }
    }
    tell();
    printf("jumps %lu\n", jumps);
    return NULL;
}

/* Two threads emit by a page of code that is repeatedly mapped and unmapped as a whole. */
static void code_unmapped_amid_events(void)
{
    /* mov %esi,(%rdi); nop; ret */
    static const unsigned char code[] = {0x89, 0x37, 0x0f, 0x1f, 0x44, 0x00, 0x00, 0xc3};
    pthread_t threads[EMITTERS];
    int i;

    /* Between two other mappings, so that no larger mapping can be placed there. */
    code_page = (char *)mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + PAGE;
    assert(munmap(code_page, PAGE) == 0);
    assert(signal(SIGSEGV, jump_back) != SIG_ERR);
    for (i = 0; i < EMITTERS; i++) {
        assert(pthread_create(&threads[i], NULL, emit_by_fleeting_code, NULL) == 0);
    }
    for (i = 0; i < 10 * CHANGES; i++) {
        char *page = generated(code, sizeof code, 0);

        assert(munmap(page + PAGE, PAGE) == 0);
        assert(mremap(page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, code_page) == code_page);
        usleep((unsigned)i % 200);
        assert(munmap(code_page, PAGE) == 0);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (i = 0; i < EMITTERS; i++) {
        assert(pthread_join(threads[i], NULL) == 0);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"mapped_over_amid_events", mapped_over_amid_events},
        {"unprotected_amid_events", unprotected_amid_events},
        {"unmapped_amid_stores", unmapped_amid_stores},
        {"replaced_amid_stores", replaced_amid_stores},
        {"code_unmapped_amid_events", code_unmapped_amid_events},
    };
    size_t i;

    find_channel();
    channel_size = *(uint64_t *)(channel + 0x38);
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (argc > 1 && strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return done();
        }
    }
    fprintf(stderr, "unknown case\n");
    return 2;
}
