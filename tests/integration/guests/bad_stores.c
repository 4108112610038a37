/* Wild indexes, odd sizes and wrong offsets between 20 good events. */
#include "bad_guest.h"

int main(void)
{
    unsigned char *channel = map_channel(open_channel());
    for (uint64_t i = 0; i < 10; i++) {
        emit(channel, i);
        store(channel, 0, 1024);
        store(channel, 0, 0xffffffff);
        store(channel, 12, 0);
        store(channel, 0xfffc, 0);
        *(volatile uint8_t *)(channel + CONTROL) = 0;
        *(volatile uint16_t *)(channel + CONTROL + 2) = 0;
        emit(channel, 100 + i);
    }
    puts("done");
    return 0;
}
