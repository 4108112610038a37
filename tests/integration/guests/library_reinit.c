/* library_reinit CHANNEL OTHER_CHANNEL: init is idempotent, fini closes the channel, and both can be called again. */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qemu-hypertrace.h>

static int mappings_of(const char *path)
{
    char line[4096];
    char end[4096];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");

    assert(maps != NULL);
    snprintf(end, sizeof end, " %s\n", path);
    while (fgets(line, sizeof line, maps) != NULL) {
        count += strstr(line, end) != NULL;
    }
    fclose(maps);
    return count;
}

static void *init(void *path)
{
    assert(qemu_hypertrace_init(path) == 0);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[8];
    uint64_t *data;
    int i;

    assert(argc == 3);
    assert(qemu_hypertrace_fini() == 0);
    for (i = 0; i < 8; i++) {
        assert(pthread_create(&threads[i], NULL, init, argv[1]) == 0);
    }
    for (i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
    assert(mappings_of(argv[1]) == 1);
    data = qemu_hypertrace_data(3);
    assert(qemu_hypertrace_init(argv[1]) == 0 && qemu_hypertrace_init(NULL) == 0);
    assert(qemu_hypertrace_data(3) == data);

    assert(qemu_hypertrace_init(argv[2]) == -1 && errno == EBUSY);
    assert(qemu_hypertrace_init("/nonexistent") == -1 && errno == ENOENT);
    assert(qemu_hypertrace_data(3) == data);

    assert(qemu_hypertrace_fini() == 0);
    assert(mappings_of(argv[1]) == 0);
    assert(qemu_hypertrace_data(3) != data && qemu_hypertrace_client() == 0);
    qemu_hypertrace_data(3)[0] = 1;
    qemu_hypertrace(3);
    assert(qemu_hypertrace_fini() == 0);

    assert(qemu_hypertrace_init(argv[2]) == 0);
    assert(mappings_of(argv[1]) == 0 && mappings_of(argv[2]) == 1);
    assert(qemu_hypertrace_client() == qemu_hypertrace_max_clients() - 1);
    puts("ok");
    return 0;
}
