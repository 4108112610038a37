/* Fifty processes, process N the parent of 2N and 2N+1, emit 20 events each, some before and some after they fork. */
#include "exact_events.h"

enum { PROCESSES = 50, EVENTS = 20 };

static void node(uint64_t who)
{
    pid_t children[2] = {0, 0};
    for (uint64_t number = 0; number < EVENTS; number++) {
        if (number == EVENTS / 2)
            for (uint64_t side = 0; side < 2; side++)
                if (2 * who + side <= PROCESSES) {
                    children[side] = fork();
                    check(children[side] != -1, "fork");
                    if (children[side] == 0) {
                        node(2 * who + side);
                        _exit(0);
                    }
                }
        emit_in(qemu_hypertrace_client(), who, number);
    }
    for (int side = 0; side < 2; side++)
        if (children[side])
            reap(children[side]);
}

int main(void)
{
    start_events();
    node(1);
    return 0;
}
