// The fields of /proc/self/status about signals, capabilities and threads, and related settings.
// untraced: no, it gets SIGKILL when htrun dies
#include "subject.h"

static void show_file(const char *path)
{
    char text[256];
    int file = open(path, O_RDONLY);
    ssize_t length = file == -1 ? -1 : read(file, text, sizeof text - 1);
    close(file);
    text[length < 0 ? 0 : length] = 0;
    say("%s: %s", path, text);
}

/* A process that has mapped the channel seems to catch SIGSEGV (docs/how-it-works.md). */
static void show_field(const char *line)
{
    unsigned long long caught;
    if (sscanf(line, "SigCgt: %llx", &caught) == 1)
        say("SigCgt but for SIGSEGV: %llx", caught & ~(1ULL << (SIGSEGV - 1)));
    else
        say("%.*s", (int)strcspn(line, "\n"), line);
}

static void show_status(void)
{
    const char *wanted[] = {"Name", "Umask", "State", "Uid", "Gid", "Groups", "NStgid", "Threads", "SigPnd", "ShdPnd", "SigBlk",
                            "SigIgn", "SigCgt", "CapInh", "CapPrm", "CapEff", "CapBnd", "CoreDumping", "Cpus_allowed"};
    FILE *status = fopen("/proc/self/status", "r");
    char line[4096];
    while (fgets(line, sizeof line, status))
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
            if (strncmp(line, wanted[i], strlen(wanted[i])) == 0 && line[strlen(wanted[i])] == ':' && i != 6)
                show_field(line);
    fclose(status);
}

int main(void)
{
    show_status();
    on_signal(SIGUSR2, SIG_IGN, 0);
    on_signal(SIGSEGV, SIG_IGN, 0);
    mask(SIG_BLOCK, SIGSEGV);
    mask(SIG_BLOCK, SIGTERM);
    mark();
    show_status();
    show_file("/proc/self/oom_score_adj");
    show_file("/proc/self/coredump_filter");
    show_file("/proc/self/timerslack_ns");
    show_file("/proc/self/loginuid");
    show_file("/proc/self/personality");
    int death = -1, reaper = -1;
    prctl(PR_GET_PDEATHSIG, &death);
    prctl(PR_GET_CHILD_SUBREAPER, &reaper);
    say("dumpable %d, keepcaps %d, parent death %d, subreaper %d, tsc %d", prctl(PR_GET_DUMPABLE),
        prctl(PR_GET_KEEPCAPS), death, reaper, prctl(PR_GET_TSC, &reaper));
    return 0;
}
