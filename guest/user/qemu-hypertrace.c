/*
 * Opening and closing the channel.
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

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static int fork_error;

static struct hypertrace_channel storage;

static void after_fork_in_child(void)
{
    hypertrace_clients_forked();
    hypertrace_rings_forked();
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

    if (error != 0) {
        return error;
    }
    error = hypertrace_clients_start(&storage);
    if (error != 0) {
        (void)hypertrace_channel_close(&storage);
        return error;
    }
    hypertrace_publish(&storage, hypertrace_rings_start(&storage));
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
        opened = hypertrace_current() == NULL;
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
    if (hypertrace_current() != NULL) {
        hypertrace_rings_stop();
        hypertrace_withdraw();
        hypertrace_clients_stop();
        error = hypertrace_channel_close(&storage);
    }
    hypertrace_unlock();
    return result_of(error);
}
