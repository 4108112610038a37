// PR_SET_NAME of the process and its threads, as /proc shows them; the name at start.
#include "subject.h"

static void show(const char *who)
{
    char name[17] = {0}, path[64], comm[32] = {0};
    prctl(PR_GET_NAME, name);
    snprintf(path, sizeof path, "/proc/self/task/%ld/comm", (long)syscall(SYS_gettid));
    int file = MUST(open(path, O_RDONLY));
    ssize_t length = MUST(read(file, comm, sizeof comm));
    comm[length - 1] = 0;
    close(file);
    say("%s: %s %s", who, name, comm);
}

static void *thread_name(void *name)
{
    MUST(prctl(PR_SET_NAME, name));
    show("thread");
    return NULL;
}

int main(void)
{
    show("at start");
    prctl(PR_SET_NAME, "fifteen_letters_and_more");
    show("main");
    pthread_t thread;
    MUST0(pthread_create(&thread, NULL, thread_name, (void *)"worker"));
    MUST0(pthread_join(thread, NULL));
    show("main");
    return 0;
}
