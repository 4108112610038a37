/* library_leak CHANNEL [BAD...]: a thousand calls of init and fini, and as many failures of each kind, leak nothing. */
#include <assert.h>
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include <qemu-hypertrace.h>

#define TIMES 1000

static int count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    assert(directory != NULL);
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

static int count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    int count = 0;
    int byte;

    assert(maps != NULL);
    while ((byte = fgetc(maps)) != EOF) {
        count += byte == '\n';
    }
    fclose(maps);
    return count;
}

static void cycle(int argc, char **argv)
{
    int i;

    assert(qemu_hypertrace_init(argv[1]) == 0);
    assert(qemu_hypertrace_client() == qemu_hypertrace_max_clients() - 1);
    assert(qemu_hypertrace_fini() == 0);
    for (i = 2; i < argc; i++) {
        assert(qemu_hypertrace_init(argv[i]) == -1);
    }
}

int main(int argc, char **argv)
{
    int descriptors, mappings, i;
    size_t heap;

    assert(argc >= 2);
    /* glibc's malloc counts the blocks in its caches as used, so fill the caches first. */
    for (i = 0; i < 10; i++) {
        cycle(argc, argv);
        count_descriptors();
        count_mappings();
    }
    descriptors = count_descriptors();
    mappings = count_mappings();
    heap = mallinfo2().uordblks;
    for (i = 0; i < TIMES; i++) {
        cycle(argc, argv);
    }
    assert(mallinfo2().uordblks == heap);
    assert(count_descriptors() == descriptors);
    assert(count_mappings() == mappings);
    puts("ok");
    return 0;
}
