/* Processes that all exist at the same time. Each emits before and after all others have started. Prints the number of
 * processes that succeeded. */
#include <sys/types.h>

#include "exact_events.h"

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 0, good = 0, begun[2], gate[2];
    char byte = 0;
    start_events();
    check(pipe(begun) == 0 && pipe(gate) == 0, "pipe");
    for (int child = 0; child < count; child++) {
        pid_t pid = fork();
        check(pid >= 0, "fork");
        if (pid == 0) {
            emit_run((uint64_t)child, 3);
            close(gate[1]);
            check(write(begun[1], &byte, 1) == 1, "write");
            check(read(gate[0], &byte, 1) == 0, "read");
            emit_run((uint64_t)(count + child), 3);
            _exit(0);
        }
    }
    for (int child = 0; child < count; child++)
        check(read(begun[0], &byte, 1) == 1, "read");
    close(gate[1]);
    for (int status = 0; wait(&status) > 0;)
        good += status == 0;
    printf("%d\n", good);
    return 0;
}
