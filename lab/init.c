/*
 * The first process of a machine under test: executes the lines of /steps, one after the other, and powers the machine
 * off.
 *
 *     PROGRAM [ARGS...]        run it as root and wait for it
 *     user PROGRAM [ARGS...]   as an unprivileged user
 *     insmod FILE [PARAMS...]  load a kernel module
 *     rmmod NAME
 *     write FILE TEXT...       into a file of the kernel's
 *     copy FILE                to the console
 *     reset, panic             the machine's end; nothing follows
 *
 * It prints "init: LINE: STATUS" for each step that did not end with 0.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UNPRIVILEGED = 1000, MOST_WORDS = 16 };

static void mount_at(const char *type, const char *directory)
{
    mkdir(directory, 0755);
    if (mount(type, directory, type, 0, NULL) != 0) {
        printf("init: mount %s: %s\n", directory, strerror(errno));
    }
}

static int run(char **words, int user)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        if (user != 0 && (setgid((gid_t)user) != 0 || setuid((uid_t)user) != 0)) {
            _exit(125);
        }
        execv(words[0], words);
        _exit(127);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int load_module(char **words)
{
    char parameters[512] = "";
    int fd = open(words[1], O_RDONLY | O_CLOEXEC);
    int result;

    for (char **word = words + 2; *word != NULL; word++) {
        strncat(parameters, *word, sizeof parameters - strlen(parameters) - 1);
        strncat(parameters, " ", sizeof parameters - strlen(parameters) - 1);
    }
    result = syscall(SYS_finit_module, fd, parameters, 0) == 0 ? 0 : errno;
    close(fd);
    return result;
}

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int result = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : errno;

    close(fd);
    return result;
}

static int write_words(char **words)
{
    char text[1024] = "";

    for (char **word = words + 2; *word != NULL; word++) {
        strncat(text, *word, sizeof text - strlen(text) - 1);
        strncat(text, word[1] != NULL ? " " : "\n", sizeof text - strlen(text) - 1);
    }
    return write_text(words[1], text);
}

static int copy_out(const char *path)
{
    char buffer[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count;

    if (fd < 0) {
        return errno;
    }
    while ((count = read(fd, buffer, sizeof buffer)) > 0) {
        fwrite(buffer, 1, (size_t)count, stdout);
    }
    close(fd);
    return count < 0 ? errno : 0;
}

static int do_step(char **words)
{
    if (strcmp(words[0], "user") == 0) {
        return run(words + 1, UNPRIVILEGED);
    }
    if (strcmp(words[0], "insmod") == 0) {
        return load_module(words);
    }
    if (strcmp(words[0], "rmmod") == 0) {
        return syscall(SYS_delete_module, words[1], O_NONBLOCK) == 0 ? 0 : errno;
    }
    if (strcmp(words[0], "write") == 0) {
        return write_words(words);
    }
    if (strcmp(words[0], "copy") == 0) {
        return copy_out(words[1]);
    }
    if (strcmp(words[0], "reset") == 0) {
        return reboot(RB_AUTOBOOT);
    }
    if (strcmp(words[0], "panic") == 0) {
        return write_text("/proc/sysrq-trigger", "c");
    }
    return run(words, 0);
}

static void do_line(char *line)
{
    char *words[MOST_WORDS + 1] = {NULL};
    char whole[1024];
    int count = 0;
    int status;

    snprintf(whole, sizeof whole, "%s", line);
    for (char *word = strtok(line, " "); word != NULL && count < MOST_WORDS; word = strtok(NULL, " ")) {
        words[count++] = word;
    }
    if (count == 0) {
        return;
    }
    status = do_step(words);
    if (status != 0) {
        printf("init: %s: %d\n", whole, status);
    }
}

int main(void)
{
    char line[1024];
    FILE *steps;

    setvbuf(stdout, NULL, _IONBF, 0);
    mount_at("devtmpfs", "/dev");
    mount_at("proc", "/proc");
    mount_at("sysfs", "/sys");
    mount_at("debugfs", "/sys/kernel/debug");
    mount_at("tracefs", "/sys/kernel/tracing");
    steps = fopen("/steps", "re");
    while (steps != NULL && fgets(line, sizeof line, steps) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        do_line(line);
    }
    reboot(RB_POWER_OFF);
    return 1;
}
