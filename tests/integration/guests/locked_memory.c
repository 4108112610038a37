/* `locked_memory CASE`: a program that locks its memory, or limits it, before or after its first event. Each thread emits
 * 1,000 events. Prints the amount of locked memory and the total amount of memory, in KiB. */
#include <sys/mman.h>
#include <sys/resource.h>

#include "exact_events.h"

static void *emit_many(void *who)
{
    emit_run((uintptr_t)who, 1000);
    return NULL;
}

static long status(const char *name)
{
    char line[256];
    long value = -1;
    FILE *file = fopen("/proc/self/status", "r");
    check(file != NULL, "/proc/self/status");
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            sscanf(line + strlen(name), ": %ld", &value);
    fclose(file);
    return value;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    pthread_t threads[12];
    pthread_attr_t small;
    check(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 64 << 10) == 0, "pthread_attr");
    if (strcmp(what, "locked") == 0)
        check(mlockall(MCL_CURRENT | MCL_FUTURE) == 0, "mlockall");
    /* Without htrun, it emits no events. */
    qemu_hypertrace_init(NULL);
    emit_many((void *)100);
    if (strcmp(what, "locked_later") == 0)
        check(mlockall(MCL_CURRENT | MCL_FUTURE) == 0, "mlockall");
    if (strcmp(what, "limited_later") == 0) {
        struct rlimit limit = {1 << 30, 1 << 30};
        check(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
        check(mmap(NULL, 100 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED, "mmap");
    }
    for (uintptr_t who = 0; who < 12; who++)
        check(pthread_create(&threads[who], &small, emit_many, (void *)who) == 0, "pthread_create");
    for (uintptr_t who = 0; who < 12; who++)
        check(pthread_join(threads[who], NULL) == 0, "pthread_join");
    if (strcmp(what, "locked_later") == 0)
        check(munlockall() == 0 && status("VmLck") == 0, "munlockall");
    printf("%ld %ld\n", status("VmLck"), status("VmRSS"));
    return 0;
}
