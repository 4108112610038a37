/* Maps the channel 1,000 times, closes its descriptor, unmaps one mapping, and maps ordinary memory at the same
 * address. */
#include "bad_guest.h"

int main(void)
{
    int file = open_channel();
    for (uint64_t i = 0; i < 1000; i++) {
        unsigned char *channel = map_channel(file);
        emit(channel, i);
        munmap(channel, SIZE);
    }
    unsigned char *first = map_channel(file), *second = map_channel(file);
    close(file);
    emit(first, 1000);
    emit(second, 1001);
    munmap(first, SIZE);
    checked(mmap(first, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    store(first, 0, 77);
    printf("ordinary memory %d\n", first[CONTROL]);
    emit(second, 1002);
    if (mprotect(second + CONTROL, 0x10000, PROT_READ | PROT_WRITE) == 0)
        emit(second, 1003);
    puts("done");
    return 0;
}
