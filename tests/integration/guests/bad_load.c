/* A load from the control region is a fault that the guest's handler sees; the second one kills. */
#include "bad_guest.h"

static sigjmp_buf back;
static unsigned char *channel;

static void handler(int number, siginfo_t *info, void *context)
{
    (void)context;
    printf("signal %d code %d address %d\n", number, info->si_code, (unsigned char *)info->si_addr == channel + CONTROL);
    fflush(stdout);
    siglongjmp(back, 1);
}

int main(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    channel = map_channel(open_channel());
    emit(channel, 1);
    sigaction(SIGSEGV, &action, NULL);
    if (sigsetjmp(back, 1) == 0)
        return *(volatile int *)(channel + CONTROL);
    emit(channel, 2);
    signal(SIGSEGV, SIG_DFL);
    return *(volatile int *)(channel + CONTROL);
}
