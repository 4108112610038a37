// io_uring is set up by direct system calls: a no-op and its completion, if the kernel permits io_uring.
#include "subject.h"
#include <linux/io_uring.h>

int main(void)
{
    struct io_uring_params parameters;
    memset(&parameters, 0, sizeof parameters);
    int ring = (int)syscall(SYS_io_uring_setup, 4, &parameters);
    if (ring == -1) {
        say("refused: %s", strerror(errno));
        return 0;
    }
    size_t size = parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned);
    size_t completion_size = parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe);
    if (completion_size > size)
        size = completion_size;
    char *rings = (char *)MUST(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING));
    struct io_uring_sqe *entries = (struct io_uring_sqe *)MUST(
        mmap(NULL, 4 * sizeof *entries, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES));
    for (unsigned i = 0; i < 4; i++) {
        memset(&entries[i], 0, sizeof *entries);
        entries[i].opcode = IORING_OP_NOP;
        entries[i].user_data = 100 + i;
        ((unsigned *)(rings + parameters.sq_off.array))[i] = i;
    }
    __atomic_store_n((unsigned *)(rings + parameters.sq_off.tail), 4, __ATOMIC_RELEASE);
    mark();
    say("entered %ld", syscall(SYS_io_uring_enter, ring, 4, 4, IORING_ENTER_GETEVENTS, NULL, 0));
    struct io_uring_cqe *done = (struct io_uring_cqe *)(rings + parameters.cq_off.cqes);
    for (unsigned i = 0; i < 4; i++)
        say("completion %d result %d", (int)done[i].user_data, done[i].res);
    return 0;
}
