/* The store is replaced by a signal handler inside the program. QEMU's own hypertrace patches used this method. */
#include <signal.h>
#include <ucontext.h>

#include "trapping_store.h"

static struct ring *ring;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    char *fault = info->si_addr;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    if (info->si_code != SEGV_ACCERR || fault < control || fault >= control + PAGE) {
        struct sigaction fatal = {.sa_handler = SIG_DFL};
        sigaction(signal, &fatal, NULL);
        return;
    }
    struct record *record = &ring->records[ring->next];
    record->timestamp = tick();
    record->index = (uint32_t)registers[REG_RAX];
    for (int i = 0; i < NUM_ARGS; i++)
        record->args[i] = slot[i];
    ring->next = next_record(ring->next);
    registers[REG_RIP] += STORE_LENGTH;
}

static void emitter_open(struct worker *worker)
{
    (void)worker;
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    ring = checked(malloc(sizeof *ring), "malloc");
    memset(ring, 0, sizeof *ring);
    trapping_store_open();
    if (sigaction(SIGSEGV, &action, NULL) != 0)
        die("sigaction");
}

static void emit_events(struct worker *worker, uint64_t count)
{
    (void)worker;
    for (uint64_t i = 0; i < count; i++)
        trapping_store(i);
}

int main(int argc, char **argv)
{
    return measure_main(argc, argv);
}
