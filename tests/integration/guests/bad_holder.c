/* Holds 1,000 mappings of the channel at once, closes every descriptor, and emits through each. */
#include "bad_guest.h"

static unsigned char *channels[1000];

int main(void)
{
    int file = open_channel();
    for (int i = 0; i < 1000; i++)
        channels[i] = map_channel(file);
    puts("mapped");
    fflush(stdout);
    for (int number = 3; number < 64; number++)
        close(number);
    for (uint64_t i = 0; i < 1000; i++)
        emit(channels[i], i);
    return 0;
}
