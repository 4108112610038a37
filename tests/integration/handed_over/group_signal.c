/*
 * Starts argv[2]... When that program has printed something, sends the signal argv[1] to all of its descendants, like a
 * program that stops a service or a job. Passes on its output, and prints its status.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t parent_of(const char *pid)
{
    char path[300], text[512];
    const char *name_end;
    FILE *file;
    size_t length;

    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    file = fopen(path, "r");
    if (file == NULL) {
        return 0;
    }
    length = fread(text, 1, sizeof text - 1, file);
    text[length] = 0;
    fclose(file);
    name_end = strrchr(text, ')');
    return name_end != NULL && strlen(name_end) > 4 ? atoi(name_end + 4) : 0;
}

/* All descendants of the process, including a tracer that has detached itself, since this process adopts orphans. */
static void send_below(pid_t ancestor, int number)
{
    DIR *processes = opendir("/proc");
    struct dirent *each;

    while (processes != NULL && (each = readdir(processes)) != NULL) {
        if (parent_of(each->d_name) == ancestor) {
            send_below(atoi(each->d_name), number);
            kill(atoi(each->d_name), number);
        }
    }
    if (processes != NULL) {
        closedir(processes);
    }
}

int main(int argc, char **argv)
{
    char text[4096];
    ssize_t length;
    int ends[2], status = 0, sent = 0;
    pid_t child;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (argc < 3 || pipe(ends) != 0 || (child = fork()) == -1) {
        return 2;
    }
    if (child == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    close(ends[1]);
    while ((length = read(ends[0], text, sizeof text)) > 0) {
        if (write(1, text, (size_t)length) != length) {
            return 3;
        }
        if (!sent++) {
            send_below(getpid(), atoi(argv[1]));
        }
    }
    waitpid(child, &status, 0);
    printf("status %#x\n", status);
    return 0;
}
