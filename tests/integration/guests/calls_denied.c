/* A program whose own seccomp filter denies some calls with an errno. The filter applies to the program, its threads,
 * the processes that it creates, and the program that one of them starts. It prints the number of calls that were
 * denied as expected. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int started[2], filtered[2];

static int denied(int count) {
    int found = 0;
    for (int i = 0; i < count; i++) {
        found += syscall(SYS_getuid) == -1 && errno == EIO;
        found += syscall(SYS_alarm, 1000 + i) == -1 && errno == EPERM;
        syscall(SYS_getgid);
    }
    return found;
}

static void on_signal(int number) {
    (void)number;
    denied(1);
}

static void *other(void *result) {
    char byte = 0;
    if (write(started[1], &byte, 1) == 1 && read(filtered[0], &byte, 1) == 1) {
        *(int *)result = denied(3);
    }
    return NULL;
}

static int filter(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getuid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EIO),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_alarm, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

int main(int argc, char **argv) {
    char byte = 0;
    int in_thread = 0, status = 0;
    pthread_t thread;
    if (argc > 1) {
        return denied(2);
    }
    signal(SIGUSR1, on_signal);
    if (pipe(started) || pipe(filtered) || pthread_create(&thread, NULL, other, &in_thread) ||
        read(started[0], &byte, 1) != 1 || filter()) {
        return 1;
    }
    int here = denied(3);
    raise(SIGUSR1);
    here += denied(1);
    if (write(filtered[1], &byte, 1) != 1 || pthread_join(thread, NULL)) {
        return 1;
    }
    pid_t child = fork();
    if (child == 0) {
        if (denied(2) != 4) {
            _exit(99);
        }
        execl("/proc/self/exe", argv[0], "again", NULL);
        _exit(98);
    }
    waitpid(child, &status, 0);
    printf("%d %d %d\n", here, in_thread, WEXITSTATUS(status));
    return 0;
}
