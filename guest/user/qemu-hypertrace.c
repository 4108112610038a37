/*
 * The open channel of this process.
 *
 * SPDX-License-Identifier: MIT
 */

#include "qemu-hypertrace.h"
#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Bytes behind the start of the control region, and what to store there: tells the tracer our byte order. */
#define HELLO_OFFSET 8
#define HELLO UINT32_C(0x01020304)

/* What a program sees without a channel: the numbers htrun has by default. */
#define DEFAULT_ARGS 4
#define DEFAULT_CLIENTS 1024

#define CACHE_LINE 64

static uint32_t unread_control[2 * QEMU_HYPERTRACE_BIAS_] __attribute__((aligned(CACHE_LINE)));

volatile uint32_t *qemu_hypertrace_control_ = unread_control;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static int fork_error;

static struct hypertrace_channel storage;
static const struct hypertrace_channel *current;        /* &storage, or NULL: no channel */

void hypertrace_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void hypertrace_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

static void after_fork_in_child(void)
{
    hypertrace_clients_forked();
    hypertrace_unlock();
}

static void handle_forks(void)
{
    fork_error = pthread_atfork(hypertrace_lock, hypertrace_unlock, after_fork_in_child);
}

static int open_default(struct hypertrace_channel *channel)
{
    int error = hypertrace_pci_open(channel);
    const char *path = getenv("HYPERTRACE");

    if (error != 0 && path != NULL) {
        error = hypertrace_channel_open(channel, path);
    }
    return error;
}

static int start(const char *base)
{
    int error = base != NULL ? hypertrace_channel_open(&storage, base) : open_default(&storage);
    volatile uint32_t *control;

    if (error != 0) {
        return error;
    }
    error = hypertrace_clients_start(&storage);
    if (error != 0) {
        (void)hypertrace_channel_close(&storage);
        return error;
    }
    control = (volatile uint32_t *)(void *)storage.control;
    control[HELLO_OFFSET / sizeof *control] = HELLO;
    __atomic_store_n(&current, &storage, __ATOMIC_RELEASE);
    /* The header region lies before the control region, so this stays in the mapping. */
    __atomic_store_n(&qemu_hypertrace_control_, control - QEMU_HYPERTRACE_BIAS_, __ATOMIC_RELEASE);
    return 0;
}

static int check_same(const char *base)
{
    struct stat file;

    if (base == NULL) {
        return 0;
    }
    if (stat(base, &file) != 0) {
        return errno;
    }
    return file.st_dev == storage.device && file.st_ino == storage.inode ? 0 : EBUSY;
}

static int result_of(int error)
{
    if (error != 0) {
        errno = error;
        return -1;
    }
    return 0;
}

int qemu_hypertrace_init(const char *base)
{
    int error = pthread_once(&fork_once, handle_forks);
    bool opened = false;

    if (error == 0) {
        error = fork_error;
    }
    if (error == 0) {
        hypertrace_lock();
        opened = current == NULL;
        error = opened ? start(base) : check_same(base);
        hypertrace_unlock();
    }
    if (error == 0 && opened) {
        hypertrace_calibrate_if_asked();
    }
    return result_of(error);
}

int qemu_hypertrace_fini(void)
{
    int error = 0;

    hypertrace_lock();
    if (current != NULL) {
        __atomic_store_n(&qemu_hypertrace_control_, unread_control, __ATOMIC_RELEASE);
        __atomic_store_n(&current, NULL, __ATOMIC_RELEASE);
        hypertrace_clients_stop();
        error = hypertrace_channel_close(&storage);
    }
    hypertrace_unlock();
    return result_of(error);
}

static const struct hypertrace_channel *open_channel(void)
{
    return __atomic_load_n(&current, __ATOMIC_ACQUIRE);
}

uint64_t qemu_hypertrace_num_args(void)
{
    const struct hypertrace_channel *channel = open_channel();

    return channel != NULL ? channel->num_args : DEFAULT_ARGS;
}

uint64_t qemu_hypertrace_max_clients(void)
{
    const struct hypertrace_channel *channel = open_channel();

    return channel != NULL ? channel->max_clients : DEFAULT_CLIENTS;
}

uint64_t *qemu_hypertrace_data(uint64_t voffset)
{
    const struct hypertrace_channel *channel = open_channel();

    if (channel == NULL || voffset >= channel->max_clients) {
        return hypertrace_unread(voffset);
    }
    return (uint64_t *)(void *)(channel->data + voffset * channel->slot_stride);
}
