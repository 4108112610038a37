/*
 * A machine without an operating system, started by multiboot. It emits events through rings, and reports on the serial
 * port.
 *
 * Its command line is COUNT: it emits COUNT events with index 7 and arguments
 * number, ~number. Then it reads bytes from the serial port. For `e` it emits an event with index 8, whose argument
 * counts these events, and prints `e`. For `q` it powers off. With a COUNT that ends in `s`, the events are stores.
 */

#include <stdbool.h>
#include <stdint.h>

#include <qemu-hypertrace-freestanding.h>

__asm__(
    ".text\n"
    ".align 4\n"
    ".long 0x1badb002, 0, -0x1badb002\n"
    ".globl _start\n"
    "_start:\n"
    "    movl $stack_top, %esp\n"
    "    pushl %ebx\n"
    "    call run\n"
    "1:  hlt\n"
    "    jmp 1b\n"
    ".bss\n"
    ".align 16\n"
    ".skip 16384\n"
    "stack_top:\n"
    ".text\n");

enum { SERIAL = 0x3f8, PCI_ADDRESS = 0xcf8, PCI_DATA = 0xcfc, POWER = 0x604, POWER_OFF = 0x2000 };
enum { CONTROL_OFFSET = 0x10000, DATA_OFFSET = 0x20000 };
enum { RING_INDEX = 7, ECHO_INDEX = 8 };

#define IVSHMEM UINT32_C(0x11101af4)

static struct qemu_hypertrace_channel channel;
static struct qemu_hypertrace_ring ring;

static uint8_t in_byte(uint16_t port)
{
    uint8_t value;

    __asm__ __volatile__("inb %1, %0" : "=a" (value) : "Nd" (port));
    return value;
}

static void out_byte(uint16_t port, uint8_t value)
{
    __asm__ __volatile__("outb %0, %1" : : "a" (value), "Nd" (port));
}

static void out_half(uint16_t port, uint16_t value)
{
    __asm__ __volatile__("outw %0, %1" : : "a" (value), "Nd" (port));
}

static uint32_t in_word(uint16_t port)
{
    uint32_t value;

    __asm__ __volatile__("inl %1, %0" : "=a" (value) : "Nd" (port));
    return value;
}

static void out_word(uint16_t port, uint32_t value)
{
    __asm__ __volatile__("outl %0, %1" : : "a" (value), "Nd" (port));
}

static void print_byte(char byte)
{
    while ((in_byte(SERIAL + 5) & 0x20) == 0) {
    }
    out_byte(SERIAL, (uint8_t)byte);
}

static void print(const char *text)
{
    for (; *text != '\0'; text++) {
        print_byte(*text);
    }
}

static void print_number(uint32_t number)
{
    if (number >= 10) {
        print_number(number / 10);
    }
    print_byte((char)('0' + number % 10));
}

static char read_byte(void)
{
    while ((in_byte(SERIAL + 5) & 1) == 0) {
    }
    return (char)in_byte(SERIAL);
}

static uint32_t read_pci(uint32_t slot, uint32_t offset)
{
    out_word(PCI_ADDRESS, UINT32_C(0x80000000) | slot << 11 | offset);
    return in_word(PCI_DATA);
}

static void write_pci(uint32_t slot, uint32_t offset, uint32_t value)
{
    out_word(PCI_ADDRESS, UINT32_C(0x80000000) | slot << 11 | offset);
    out_word(PCI_DATA, value);
}

/* The memory of the device in @slot; NULL: beyond 4 GiB. */
static void *find_memory(uint32_t slot, uint32_t *size)
{
    uint32_t address = read_pci(slot, 0x18);

    write_pci(slot, 0x18, UINT32_MAX);
    *size = ~(read_pci(slot, 0x18) & ~UINT32_C(15)) + 1;
    write_pci(slot, 0x18, address);
    write_pci(slot, 0x04, read_pci(slot, 0x04) | 2);
    return read_pci(slot, 0x1c) == 0 ? (void *)(uintptr_t)(address & ~UINT32_C(15)) : (void *)0;
}

static unsigned char *find_device(uint32_t *size)
{
    for (uint32_t slot = 0; slot < 32; slot++) {
        if (read_pci(slot, 0) == IVSHMEM) {
            return (unsigned char *)find_memory(slot, size);
        }
    }
    return (unsigned char *)0;
}

static void emit_by_rings(uint32_t count)
{
    for (uint32_t number = 0; number < count; number++) {
        const uint64_t args[] = {number, ~(uint64_t)number};

        qemu_hypertrace_emit(&ring, RING_INDEX, args, 2);
    }
}

static void emit_by_stores(unsigned char *memory, uint32_t count)
{
    volatile uint64_t *slot = (volatile uint64_t *)(void *)(memory + DATA_OFFSET + RING_INDEX * 64);

    for (uint32_t number = 0; number < count; number++) {
        slot[0] = number;
        slot[1] = ~(uint64_t)number;
        *(volatile uint32_t *)(void *)(memory + CONTROL_OFFSET) = RING_INDEX;
    }
}

static void answer(void)
{
    uint64_t number = 0;

    for (char byte = read_byte(); byte != 'q'; byte = read_byte()) {
        if (byte == 'e') {
            qemu_hypertrace_emit(&ring, ECHO_INDEX, &number, 1);
            number++;
            print("e");
        }
    }
}

static void emit(const char *words)
{
    enum qemu_hypertrace_result result;
    unsigned char *memory;
    uint32_t count = 0;
    uint32_t size = 0;

    /* The first word is the path of this program. */
    while (*words != '\0' && *words++ != ' ') {
    }
    for (; *words >= '0' && *words <= '9'; words++) {
        count = count * 10 + (uint32_t)(*words - '0');
    }
    memory = find_device(&size);
    if (memory == (unsigned char *)0) {
        print("no device\n");
        return;
    }
    if (*words == 's') {
        emit_by_stores(memory, count);
        print("stored\n");
        return;
    }
    result = qemu_hypertrace_attach(&channel, memory, size);
    if (result == QEMU_HYPERTRACE_OK) {
        result = qemu_hypertrace_claim(&channel, &ring, 0, "bare");
    }
    if (result != QEMU_HYPERTRACE_OK) {
        print("failed: ");
        print_number((uint32_t)result);
        print("\n");
        return;
    }
    emit_by_rings(count);
    print("emitted ");
    print_number(count);
    print("\n");
    answer();
    qemu_hypertrace_release(&ring);
}

void run(const uint32_t *multiboot);

void run(const uint32_t *multiboot)
{
    emit((const char *)(uintptr_t)multiboot[4]);
    for (;;) {
        out_half(POWER, POWER_OFF);
    }
}
