/*
 * Accesses to the channel, other than events, that a machine's guest can make its emulator perform. The program has the
 * name of a qemu-system. The accesses have no effect, and the registers after each instruction show this.
 */
#include "bad_guest.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("line %d: %s\n", __LINE__, #condition);                                                             \
        }                                                                                                              \
    } while (0)

static const char MAGIC[] = "HYPRTRC1";

static void plain_stores(unsigned char *at)
{
    *(volatile uint8_t *)at = 0xff;
    *(volatile uint16_t *)(at + 2) = 0xffff;
    *(volatile uint32_t *)(at + 4) = 0xffffffff;
    *(volatile uint64_t *)(at + 8) = ~0ull;
    __asm__ volatile("pcmpeqd %%xmm0, %%xmm0\n\tmovdqu %%xmm0, (%0)" : : "r"(at) : "xmm0", "memory");
}

static void atomics(unsigned char *at, uint64_t held)
{
    uint64_t value = 77, expected = held + 1;
    uint8_t byte = 5;
    uint64_t low = held, high = held == 0 ? 0 : 0x0000000400000001, stored = 1;

    __asm__ volatile("xchgq %0, (%1)" : "+r"(value) : "r"(at) : "memory");
    CHECK(value == held);
    __asm__ volatile("xchgb %0, (%1)" : "+q"(byte) : "r"(at) : "memory");
    CHECK(byte == (uint8_t)held);
    value = 3;
    __asm__ volatile("lock xaddq %0, (%1)" : "+r"(value) : "r"(at) : "memory", "cc");
    CHECK(value == held);
    CHECK(!__atomic_compare_exchange_n((uint64_t *)at, &expected, 9, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    CHECK(expected == held);
    CHECK(__atomic_compare_exchange_n((uint64_t *)at, &expected, 9, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    __asm__ volatile("lock cmpxchg16b (%3)" : "+a"(low), "+d"(high), "+b"(stored) : "r"(at), "c"(2ull) : "memory", "cc");
    CHECK(low == held);
    __asm__ volatile("lock incl (%0)\n\torl $7, (%0)\n\tnotb (%0)\n\tbtsl $1, (%0)" : : "r"(at) : "memory", "cc");
}

/* The instructions that memset() uses on some processors. They depend on the processor, so memset() itself is not
 * called. */
static void fill(unsigned char *at, size_t size)
{
    for (size_t done = 0; done < size; done += 16) {
        __asm__ volatile("pcmpeqd %%xmm0, %%xmm0\n\tmovdqu %%xmm0, (%0)" : : "r"(at + done) : "xmm0", "memory");
    }
}

static void blocks(unsigned char *at, size_t size)
{
    static unsigned char other[CONTROL];
    unsigned char *to = at, *from = other;
    size_t count = size;

    fill(at, size);
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0x55) : "memory");
    CHECK(to == at + size && count == 0);
    to = at, count = size / 8;
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    CHECK(to == at + size && from == other + size && count == 0);
    to = at + 8, from = other + 8, count = 2;
    __asm__ volatile("std\n\trep movsl\n\tcld" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    CHECK(to == at && from == other && count == 0);
    __asm__ volatile("stosw" : "+D"(to) : "a"(1) : "memory");
    CHECK(to == at + 2);
}

static int all_zero(const unsigned char *at, size_t size)
{
    while (size > 0 && *at == 0) {
        at++, size--;
    }
    return size == 0;
}

int main(void)
{
    unsigned char *channel = map_channel(open_channel());
    unsigned char *edge = channel + DATA - 16;
    uint64_t magic;
    size_t count = 32;

    memcpy(&magic, MAGIC, sizeof magic);
    emit(channel, 1);
    for (int time = 0; time < 3; time++) {
        plain_stores(channel);
        plain_stores(channel + 0x8000);
        plain_stores(channel + CONTROL + 16);
    }
    atomics(channel, magic);
    atomics(channel + CONTROL + 0x100, 0);
    blocks(channel, 4096);
    blocks(channel + CONTROL + 0x1000, 4096);
    CHECK(memcmp(channel, MAGIC, 8) == 0);
    CHECK(all_zero(channel + CONTROL, CONTROL));
    /* A block that begins in memory that cannot be written, and ends in memory that can be written. */
    __asm__ volatile("rep stosb" : "+D"(edge), "+c"(count) : "a"(7) : "memory");
    CHECK(all_zero(channel + DATA - 16, 16));
    CHECK(channel[DATA] == 7 && channel[DATA + 15] == 7 && channel[DATA + 16] == 0);
    emit(channel, 2);
    puts("done");
    return 0;
}
