// mmap of shared files, memfd with seals, mremap that moves, madvise, mprotect, and faults after a truncation.
// build: static, m32
#include "subject.h"

static char name[] = "mapped-XXXXXX";

static void shared_file(long page)
{
    int file = MUST(mkstemp(name));
    MUST(ftruncate(file, 4 * page));
    char *first = (char *)MUST(mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
    char *second = (char *)MUST(mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, page));
    char *private_copy = (char *)MUST(mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0));
    pid_t child = MUST(fork());
    if (child == 0) {
        strcpy(first + page, "by child");
        private_copy[0] = 'x';
        mark();
        _exit(0);
    }
    say("%s", reaped(child));
    char bytes[9] = {0};
    MUST(pread(file, bytes, 8, page));
    say("second mapping %s, file %s, private %d", second, bytes, private_copy[0]);
    char *moved = (char *)MUST(mremap(second, 2 * page, 3 * page, MREMAP_MAYMOVE));
    say("moved %s", moved);
    say("msync %d, munmap %d", msync(first, 4 * page, MS_SYNC), munmap(moved, 3 * page));
    unlink(name);
    close(file);
}

static void sealed_memory(long page)
{
    int file = MUST(memfd_create("sealed", MFD_ALLOW_SEALING));
    MUST(ftruncate(file, page));
    MUST(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
    int result = ftruncate(file, 0);
    say("sealed %d %s, seals %d", result, strerror(errno), fcntl(file, F_GET_SEALS));
    close(file);
}

static void private_memory(long page)
{
    char *where = (char *)MUST(mmap(NULL, 8 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    memset(where, 7, (size_t)(8 * page));
    MUST(madvise(where, (size_t)page, MADV_DONTNEED));
    say("dropped %d, kept %d", where[0], where[page]);
    MUST(madvise(where + 2 * page, (size_t)page, MADV_DONTFORK));
    pid_t child = MUST(fork());
    if (child == 0)
        _exit(where[2 * page]);
    say("not forked: %s", reaped(child));
    MUST(munmap(where + 3 * page, (size_t)page));
    child = MUST(fork());
    if (child == 0)
        _exit(where[3 * page]);
    say("unmapped: %s", reaped(child));
    MUST(mprotect(where, (size_t)page, PROT_READ));
    where[page] = 1;
    child = MUST(fork());
    if (child == 0)
        where[0] = 1;
    say("protected: %s", reaped(child));
}

int main(void)
{
    struct rlimit none = {0, 0};
    MUST(setrlimit(RLIMIT_CORE, &none));
    long page = sysconf(_SC_PAGESIZE);
    shared_file(page);
    sealed_memory(page);
    private_memory(page);
    return 0;
}
