/* Emits until it is killed. After each 100 events, it prints the number of events that it has certainly emitted. */
#include "exact_events.h"

int main(void)
{
    start_events();
    uint64_t slot = qemu_hypertrace_client();
    for (uint64_t number = 0;; number++) {
        emit_in(slot, 1, number);
        if (number % 100 == 99)
            dprintf(STDOUT_FILENO, "%lu\n", (unsigned long)number + 1);
    }
}
