/*
 * Declarations shared by the files of the library.
 *
 * Functions that return int return 0 or an errno value; errno itself is set
 * for the caller by the functions of qemu-hypertrace.h only.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef QEMU_HYPERTRACE_INTERNAL_H
#define QEMU_HYPERTRACE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The ABI's maximum of arguments of an event, in 64-bit words. */
#define HYPERTRACE_MAX_ARGS 64

/* Files of the PCI devices; tests use another directory. */
#ifndef HYPERTRACE_PCI_DEVICES
#define HYPERTRACE_PCI_DEVICES "/sys/bus/pci/devices"
#endif

/* The device of the kernel module in guest/linux-module. */
#define HYPERTRACE_DEVICE "/dev/hypertrace"

/* The rings of a channel, as its header describes them; `mode` 0: none. */
struct hypertrace_ring_fields {
    uint32_t mode;
    uint32_t machine;           /* ELF machine of the host */
    uint64_t offset;            /* offset of the first ring in the channel's file */
    uint64_t stride;            /* bytes from one ring to the next */
    uint32_t count;
    uint32_t records;           /* records of one ring */
    uint32_t chunk;             /* rings to be mapped at a time */
    uint32_t overflow;
    uint32_t flags;             /* HYPERTRACE_UNTRACED */
};

/* No tracer sees whose a ring is: a client says in which PID namespace it has its ids, and since when. */
#define HYPERTRACE_UNTRACED UINT32_C(1)

/* An open and mapped channel. */
struct hypertrace_channel {
    uint64_t num_args;
    uint64_t max_clients;
    uint64_t slot_stride;       /* bytes */
    char *memory;               /* the mapping of the whole channel, without its rings */
    size_t size;                /* bytes of the mapping */
    char *control;
    char *data;
    char *path;                 /* absolute if possible; allocated */
    struct hypertrace_ring_fields rings;        /* not mapped */
    bool in_machine;            /* a device of this machine: htrun runs outside of it */
    int fd;                     /* the channel's file, for locks; -1 after it could not be reopened */
    dev_t device;
    ino_t inode;
};

/* state.c: the open channel, and the lock that guards it and the indexes, also across fork. */
void hypertrace_lock(void);
void hypertrace_unlock(void);
const struct hypertrace_channel *hypertrace_current(void);      /* NULL: none is open */
/* @by_rings: threads write to rings; only those without a ring store. */
void hypertrace_publish(const struct hypertrace_channel *channel, bool by_rings);
void hypertrace_withdraw(void);

/*
 * state.c: store once to the control region, which shows the tracer our byte
 * order. May be used in a signal handler.
 */
void hypertrace_say_hello(void);

/* channel.c: one channel, given its path. */
int hypertrace_channel_open(struct hypertrace_channel *channel, const char *path);
int hypertrace_channel_close(struct hypertrace_channel *channel);
bool hypertrace_channel_is_fd(const struct hypertrace_channel *channel, int fd);
int hypertrace_channel_reopen_fd(struct hypertrace_channel *channel);

/* pci.c: the channel that is a device of this machine; ENOENT when there is none. */
int hypertrace_pci_open(struct hypertrace_channel *channel);

/*
 * client.c: indexes for threads. All functions but the public one are called
 * with the lock held.
 */
int hypertrace_clients_start(struct hypertrace_channel *channel);
void hypertrace_clients_stop(void);
void hypertrace_clients_forked(void);

/*
 * ring.c: records that the library writes itself. All are called with the lock
 * held. hypertrace_rings_start() returns whether threads use rings now; otherwise events are stores.
 */
bool hypertrace_rings_start(const struct hypertrace_channel *channel);
void hypertrace_rings_stop(void);
void hypertrace_rings_forked(void);

/* ring.c: the calling thread is about to emit, so it gets its ring now. Called without the lock. */
void hypertrace_rings_expect_events(void);

/* unread.c: memory of the calling thread that is never read, for events without
 * a channel. */
uint64_t *hypertrace_unread(uint64_t voffset);

/* calibrate.c: emit the pairs that the environment variable HYPERTRACE_CALIBRATE asks for. Called without the lock. */
void hypertrace_calibrate_if_asked(void);

#endif /* QEMU_HYPERTRACE_INTERNAL_H */
