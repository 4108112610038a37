/*
 * stray_accesses: stores to the channel's header and control region in many ways, loads from both, and prints whether
 * they are unchanged.
 */

#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CONTROL = 0x10000, DATA = 0x20000 };

static unsigned char *map_channel(void)
{
    glob_t found;

    if (glob("/sys/bus/pci/devices/*/resource2", 0, NULL, &found) != 0) {
        return NULL;
    }
    for (size_t place = 0; place < found.gl_pathc; place++) {
        int file = open(found.gl_pathv[place], O_RDWR | O_CLOEXEC);
        unsigned char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

        if (memory != MAP_FAILED && memcmp(memory, "HYPRTRC1", 8) == 0) {
            return memory;
        }
    }
    return NULL;
}

static void store_to(unsigned char *at)
{
    uint64_t expected = 1;

    *(volatile uint8_t *)at = 1;
    *(volatile uint16_t *)(at + 2) = 2;
    *(volatile uint32_t *)(at + 4) = 3;
    *(volatile uint64_t *)(at + 8) = 4;
    __atomic_fetch_add((uint64_t *)at, 5, __ATOMIC_SEQ_CST);
    __atomic_fetch_or((uint32_t *)at, 6, __ATOMIC_SEQ_CST);
    __atomic_exchange_n((uint16_t *)at, 7, __ATOMIC_SEQ_CST);
    __atomic_compare_exchange_n((uint64_t *)at, &expected, 8, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    memset(at + 64, 0xff, 256);
    memcpy(at + 512, "some text that is longer than any register is", 46);
}

int main(void)
{
    static unsigned char before[CONTROL], zeros[CONTROL];
    unsigned char *channel = map_channel();

    if (channel == NULL) {
        perror("channel");
        return 1;
    }
    memcpy(before, channel, CONTROL);
    store_to(channel);
    store_to(channel + 0x8000);
    store_to(channel + CONTROL + 0x1000);
    puts(memcmp(before, channel, CONTROL) == 0 && memcmp(zeros, channel + CONTROL, CONTROL) == 0 ? "as before"
                                                                                                   : "changed");
    return 0;
}
