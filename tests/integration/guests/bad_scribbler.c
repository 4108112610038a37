/* Overwrites all data, then tries to overwrite the header in every possible way, and continues to emit. */
#include "bad_guest.h"

static sigjmp_buf back;

static void handler(int number)
{
    printf("signal %d\n", number);
    fflush(stdout);
    siglongjmp(back, 1);
}

int main(void)
{
    int file = open_channel();
    unsigned char *channel = map_channel(file);
    signal(SIGSEGV, handler);
    emit(channel, 1);
    memset(channel + DATA, 0xff, SIZE - DATA);
    emit(channel, 2);
    if (sigsetjmp(back, 1) == 0)
        memset(channel, 0xee, 64);
    emit(channel, 3);
    char junk[64];
    memset(junk, 0xdd, sizeof junk);
    if (pwrite(file, junk, sizeof junk, 0) < 0)
        perror("pwrite");
    printf("truncated %d\n", ftruncate(file, 0) == 0);
    emit(channel, 4);
    puts("done");
    return 0;
}
