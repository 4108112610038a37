/*
 * repeat_module COUNT FILE NAME: loads and unloads a kernel module COUNT
 * times; prints the first failure, and any warning in the kernel's log.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { READ_ALL = 3 };

static char log_text[1 << 20];

static long load(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    long result = syscall(SYS_finit_module, fd, "", 0);

    close(fd);
    return result;
}

int main(int argc, char **argv)
{
    int count = argc == 4 ? atoi(argv[1]) : 0;

    for (int time = 0; time < count; time++) {
        if (load(argv[2]) != 0) {
            printf("load %d: %s\n", time, strerror(errno));
            return 1;
        }
        if (access("/dev/hypertrace", R_OK | W_OK) != 0) {
            printf("device %d: %s\n", time, strerror(errno));
            return 1;
        }
        if (syscall(SYS_delete_module, argv[3], O_NONBLOCK) != 0) {
            printf("unload %d: %s\n", time, strerror(errno));
            return 1;
        }
    }
    klogctl(READ_ALL, log_text, sizeof log_text - 1);
    if (strstr(log_text, "WARNING:") != NULL || strstr(log_text, "BUG:") != NULL) {
        printf("%s\n", log_text);
        return 1;
    }
    printf("loaded and unloaded %d times\n", count);
    return 0;
}
