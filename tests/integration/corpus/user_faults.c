// userfaultfd: a thread handles the faults of another thread, if the kernel permits it.
#include "subject.h"
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

static int handle;
static long page;

static void *answers(void *count)
{
    char *source = (char *)aligned_alloc((size_t)page, (size_t)page);
    for (long i = 0; i < (long)count; i++) {
        struct uffd_msg message;
        MUST(read(handle, &message, sizeof message));
        memset(source, (int)(10 + i), (size_t)page);
        struct uffdio_copy copy = {.dst = message.arg.pagefault.address & ~(uint64_t)(page - 1),
                                   .src = (uint64_t)(uintptr_t)source,
                                   .len = (uint64_t)page};
        MUST(ioctl(handle, UFFDIO_COPY, &copy));
        mark();
    }
    return NULL;
}

int main(void)
{
    page = sysconf(_SC_PAGESIZE);
    handle = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    if (handle == -1) {
        say("refused: %s", strerror(errno));
        return 0;
    }
    struct uffdio_api api = {.api = UFFD_API};
    MUST(ioctl(handle, UFFDIO_API, &api));
    char *where = (char *)MUST(mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    struct uffdio_register range = {.range = {(uint64_t)(uintptr_t)where, (uint64_t)(4 * page)},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING};
    MUST(ioctl(handle, UFFDIO_REGISTER, &range));
    pthread_t thread;
    MUST0(pthread_create(&thread, NULL, answers, (void *)4L));
    for (int i = 0; i < 4; i++)
        say("page %d holds %d", i, where[i * page + 5]);
    MUST0(pthread_join(thread, NULL));
    return 0;
}
