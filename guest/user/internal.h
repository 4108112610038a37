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

/* The maximum number of arguments of an event in the ABI, in 64-bit words. */
#define HYPERTRACE_MAX_ARGS 64

/*
 * With glibc, the TLS model is initial-exec, even in objects that are loaded by dlopen(). With
 * other models, a thread's first access may allocate memory, and this access may be in a signal
 * handler. glibc reserves enough static TLS for these few words. With musl, the TLS of all threads
 * is allocated when dlopen() returns.
 */
#ifdef __GLIBC__
#define HYPERTRACE_TLS_MODEL __attribute__((tls_model("initial-exec"), visibility("hidden")))
#else
#define HYPERTRACE_TLS_MODEL __attribute__((visibility("hidden")))
#endif

/* The directory of the PCI devices' files. Tests use another directory. */
#ifndef HYPERTRACE_PCI_DEVICES
#define HYPERTRACE_PCI_DEVICES "/sys/bus/pci/devices"
#endif

/* The device of the kernel module in guest/linux-module. */
#define HYPERTRACE_DEVICE "/dev/hypertrace"

/* The rings of a channel, as its header describes them. If `mode` is 0, there are no rings. */
struct hypertrace_ring_fields {
    uint32_t mode;
    uint32_t machine;           /* ELF machine of the host */
    uint64_t offset;            /* offset of the first ring in the channel's file */
    uint64_t stride;            /* bytes from one ring to the next */
    uint32_t count;
    uint32_t records;           /* the number of records in one ring */
    uint32_t chunk;             /* the number of rings that must be mapped together */
    uint32_t overflow;
    uint32_t flags;             /* HYPERTRACE_UNTRACED */
    uint64_t counter;           /* the host's counter at `counter_time`; unknown if `counter_rate` is 0 */
    uint64_t counter_time;      /* CLOCK_MONOTONIC_RAW in ns */
    uint64_t counter_rate;      /* Hz, approximately */
};

/*
 * A flag: there is no tracer that knows the owners of rings. So a client writes its PID namespace
 * to its ring, and the time at which it has claimed the ring.
 */
#define HYPERTRACE_UNTRACED UINT32_C(1)

/* An open and mapped channel. */
struct hypertrace_channel {
    uint64_t num_args;
    uint64_t max_clients;
    uint64_t slot_stride;       /* bytes */
    char *memory;               /* the mapping of the whole channel, without its rings */
    size_t size;                /* the size of the mapping in bytes */
    char *control;
    char *data;
    char *path;                 /* the path, absolute if possible, in allocated memory */
    struct hypertrace_ring_fields rings;        /* the mapping does not contain them */
    bool in_machine;            /* whether the channel is a device of this machine; htrun runs outside of it */
    int fd;                     /* the channel's file, for locks; -1 if it could not be reopened */
    dev_t device;
    ino_t inode;
};

/* state.c: the open channel, and a lock. The lock protects the channel and the indexes, also during fork(). */
void hypertrace_lock(void);
void hypertrace_unlock(void);
const struct hypertrace_channel *hypertrace_current(void);      /* NULL: none is open */
/* @by_rings: whether threads write to rings. Then only threads without a ring emit by stores. */
void hypertrace_publish(const struct hypertrace_channel *channel, bool by_rings);
void hypertrace_withdraw(void);

/*
 * state.c: make one store to the control region, which shows the program's byte order to the
 * tracer. May be called in a signal handler.
 */
void hypertrace_say_hello(void);

/* channel.c: opens, closes and identifies a channel. */
int hypertrace_channel_open(struct hypertrace_channel *channel, const char *path);
int hypertrace_channel_close(struct hypertrace_channel *channel);
bool hypertrace_channel_is_fd(const struct hypertrace_channel *channel, int fd);
int hypertrace_channel_reopen_fd(struct hypertrace_channel *channel);

/* pci.c: opens the channel that is a device of this machine. Returns ENOENT if there is none. */
int hypertrace_pci_open(struct hypertrace_channel *channel);

/*
 * client.c: gives indexes to threads. The lock must be held when one of these functions is called.
 */
int hypertrace_clients_start(struct hypertrace_channel *channel);
void hypertrace_clients_stop(void);
void hypertrace_clients_forked(void);

/*
 * ring.c: writes records to rings. The lock must be held when one of these functions is called.
 * hypertrace_rings_start() returns whether threads use rings from now on; otherwise they emit by
 * stores.
 */
bool hypertrace_rings_start(const struct hypertrace_channel *channel);
void hypertrace_rings_stop(void);
void hypertrace_rings_forked(void);

/* ring.c: claims a ring for the calling thread, which is about to emit. Called without the lock. */
void hypertrace_rings_expect_events(void);

/*
 * unread.c: memory of the calling thread for the arguments of events without a channel, which are
 * never read. Indexes that differ by a multiple of HYPERTRACE_UNREAD_SLOTS share words.
 */
#define HYPERTRACE_UNREAD_SLOTS 16
typedef uint64_t hypertrace_unread_slot[HYPERTRACE_MAX_ARGS];

/* The slots of the calling thread; NULL until it has called hypertrace_take_unread(). */
extern __thread hypertrace_unread_slot *hypertrace_unread_slots HYPERTRACE_TLS_MODEL;

/* Returns the slots of the calling thread; memory that all threads share if there is none. */
hypertrace_unread_slot *hypertrace_take_unread(void);

/* calibrate.c: emits the pairs that the environment variable HYPERTRACE_CALIBRATE requests. Called without the lock. */
void hypertrace_calibrate_if_asked(void);

#endif /* QEMU_HYPERTRACE_INTERNAL_H */
