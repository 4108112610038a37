/* library_init [BASE]: prints the result of init; then emits one event from the first slot and one from the last slot.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <qemu-hypertrace.h>

/* The numbers differ between architectures. */
static const char *name_of(int error)
{
    switch (error) {
    case EACCES: return "EACCES";
    case EINVAL: return "EINVAL";
    case EISDIR: return "EISDIR";
    case EMFILE: return "EMFILE";
    case ENOENT: return "ENOENT";
    case ENOMEM: return "ENOMEM";
    case ENOTSUP: return "ENOTSUP";
    case EOVERFLOW: return "EOVERFLOW";
    case EPROTO: return "EPROTO";
    default: return "unexpected";
    }
}

static void emit(uint64_t index)
{
    uint64_t *data = qemu_hypertrace_data(index);
    uint64_t arg;

    for (arg = 0; arg < qemu_hypertrace_num_args(); arg++) {
        data[arg] = index * 1000 + arg;
    }
    qemu_hypertrace(index);
}

int main(int argc, char **argv)
{
    int result = qemu_hypertrace_init(argc > 1 ? argv[1] : NULL);

    printf("init %s\n", result == 0 ? "0" : name_of(errno));
    printf("args %" PRIu64 " clients %" PRIu64 "\n", qemu_hypertrace_num_args(), qemu_hypertrace_max_clients());
    emit(0);
    emit(qemu_hypertrace_max_clients() - 1);
    /* An index out of range, for which only private memory is accessed. */
    qemu_hypertrace_data(qemu_hypertrace_max_clients())[63] = 1;
    qemu_hypertrace_data(UINT64_MAX)[63] = 1;
    printf("client %" PRIu64 "\n", qemu_hypertrace_client());
    printf("fini %d\n", qemu_hypertrace_fini());
    return 0;
}
