// A program that reads its own memory and that of a child, with /proc/PID/mem and process_vm_readv.
#include "subject.h"
#include <sys/uio.h>

static volatile long word = 0x1234;

int main(void)
{
    int ready[2];
    MUST(pipe(ready));
    pid_t child = MUST(fork());
    if (child == 0) {
        word = 0x5678;
        post(ready[1]);
        pause();
        _exit(0);
    }
    await_post(ready[0]);
    long got = 0;
    struct iovec local = {&got, sizeof got}, remote = {(void *)(uintptr_t)&word, sizeof word};
    MUST(process_vm_readv(child, &local, 1, &remote, 1, 0));
    say("child's word %#lx", got);
    int memory = MUST(open("/proc/self/mem", O_RDWR));
    long next = 0x9abc;
    MUST(pwrite(memory, &next, sizeof next, (off_t)(uintptr_t)&word));
    mark();
    say("own word %#lx", word);
    kill(child, SIGTERM);
    say("%s", reaped(child));
    return 0;
}
