/*
 * The channel that is open in this process, and the lock that guards it.
 *
 * SPDX-License-Identifier: MIT
 */

#include "qemu-hypertrace.h"
#include "internal.h"

#include <pthread.h>

/* The values that a program without a channel gets: htrun's defaults. */
#define DEFAULT_ARGS 4
#define DEFAULT_CLIENTS 1024

#define CACHE_LINE 64

/* A store of this value at this offset in the control region shows the program's byte order to the tracer. */
#define HELLO_OFFSET 8
#define HELLO UINT32_C(0x01020304)

static uint32_t unread_control[2 * QEMU_HYPERTRACE_BIAS_] __attribute__((aligned(CACHE_LINE)));

volatile uint32_t *qemu_hypertrace_control_ = unread_control;
volatile uint32_t *qemu_hypertrace_target_ = unread_control;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static const struct hypertrace_channel *current;        /* NULL: no channel */
static unsigned char said_hello;

void hypertrace_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void hypertrace_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

const struct hypertrace_channel *hypertrace_current(void)
{
    return __atomic_load_n(&current, __ATOMIC_ACQUIRE);
}

void hypertrace_say_hello(void)
{
    const struct hypertrace_channel *channel = hypertrace_current();
    volatile uint32_t *control;

    if (channel != NULL && __atomic_load_n(&said_hello, __ATOMIC_RELAXED) == 0) {
        __atomic_store_n(&said_hello, 1, __ATOMIC_RELAXED);
        control = (volatile uint32_t *)(void *)channel->control;
        control[HELLO_OFFSET / sizeof *control] = HELLO;
    }
}

void hypertrace_publish(const struct hypertrace_channel *channel, bool by_rings)
{
    /* The header region lies before the control region, so this address stays in the mapping. */
    volatile uint32_t *control = (volatile uint32_t *)(void *)channel->control - QEMU_HYPERTRACE_BIAS_;

    __atomic_store_n(&current, channel, __ATOMIC_RELEASE);
    if (!by_rings) {
        hypertrace_say_hello();
    }
    __atomic_store_n(&qemu_hypertrace_control_, control, __ATOMIC_RELEASE);
    __atomic_store_n(&qemu_hypertrace_target_, by_rings ? NULL : control, __ATOMIC_RELEASE);
}

void hypertrace_withdraw(void)
{
    __atomic_store_n(&qemu_hypertrace_target_, unread_control, __ATOMIC_RELEASE);
    __atomic_store_n(&qemu_hypertrace_control_, unread_control, __ATOMIC_RELEASE);
    __atomic_store_n(&current, NULL, __ATOMIC_RELEASE);
    __atomic_store_n(&said_hello, 0, __ATOMIC_RELAXED);
}

uint64_t qemu_hypertrace_num_args(void)
{
    const struct hypertrace_channel *channel = hypertrace_current();

    return channel != NULL ? channel->num_args : DEFAULT_ARGS;
}

uint64_t qemu_hypertrace_max_clients(void)
{
    const struct hypertrace_channel *channel = hypertrace_current();

    return channel != NULL ? channel->max_clients : DEFAULT_CLIENTS;
}

uint64_t *qemu_hypertrace_data(uint64_t voffset)
{
    const struct hypertrace_channel *channel = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
    hypertrace_unread_slot *slots;

    if (channel != NULL && voffset < channel->max_clients) {
        return (uint64_t *)(void *)(channel->data + voffset * channel->slot_stride);
    }
    slots = hypertrace_unread_slots;
    if (slots == NULL) {
        slots = hypertrace_take_unread();
    }
    return slots[voffset % HYPERTRACE_UNREAD_SLOTS];
}
