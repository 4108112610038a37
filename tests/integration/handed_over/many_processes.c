/* argv[1] processes exist at the same time. Each of them emits; then all exit. The limit of open files is low. */
#include "emitting.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILES = 64, EVENTS = 3 };

static void work(uint64_t number)
{
    uint64_t index = qemu_hypertrace_client(), *data = qemu_hypertrace_data(index);

    for (uint64_t i = 0; i < EVENTS; i++) {
        data[0] = number;
        data[1] = i;
        qemu_hypertrace(index);
    }
}

int main(int argc, char **argv)
{
    struct rlimit limit = {FILES, FILES};
    int count = argc > 1 ? atoi(argv[1]) : 0, right = 0, status, gate[2], ready[2];
    char byte = 0;

    setrlimit(RLIMIT_NOFILE, &limit);
    (void)qemu_hypertrace_init(NULL);
    if (pipe(gate) != 0 || pipe(ready) != 0) {
        return 2;
    }
    for (int i = 0; i < count; i++) {
        if (fork() == 0) {
            close(gate[1]);
            work((uint64_t)i);
            _exit(write(ready[1], &byte, 1) != 1 || read(gate[0], &byte, 1) != 0);
        }
    }
    for (int i = 0; i < count; i++) {
        if (read(ready[0], &byte, 1) != 1) {
            return 3;
        }
    }
    close(gate[1]);
    while (wait(&status) > 0) {
        right += status == 0;
    }
    printf("%d of %d\n", right, count);
    return 0;
}
