/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Declarations shared by the parts of the module. */
#ifndef QEMU_HYPERTRACE_INTERNAL_H
#define QEMU_HYPERTRACE_INTERNAL_H

#include <linux/types.h>

/* The kinds of blobs. The host knows these numbers. */
enum hypertrace_blob_kind {
	/* The format of a kernel event: the name of its system, a line end, and the text from tracefs. */
	HYPERTRACE_FORMAT = 1,
	/* struct hypertrace_symbol, up to the end of the name. */
	HYPERTRACE_SYMBOL = 2,
	/* An entry of the kernel's trace, in the binary form of ftrace. */
	HYPERTRACE_ENTRY = 3,
};

/**
 * hypertrace_blob_indexes() - reserve indexes that are used only for blobs
 * @first: set to the first of these indexes
 * @count: the number of indexes that are needed
 *
 * Return: 0, -ENODEV without a channel, or -ENOSPC if it has too few indexes.
 */
int hypertrace_blob_indexes(u64 *first, u64 count);

/**
 * hypertrace_blob() - send bytes through as many events as they need
 * @voffset: an index that no other code uses during the call
 * @kind: the kind of the blob
 * @time: a reading of the machine's monotonic clock, in ns
 * @data: the bytes
 * @size: number of bytes; at most 16 MiB - 1 of them are sent
 */
void hypertrace_blob(u64 voffset, enum hypertrace_blob_kind kind, u64 time, const void *data,
		     size_t size);

/* A function that is called with the text of each file. If it returns an error, reading stops. */
typedef int (*hypertrace_take)(const char *system, const char *text, void *context);

/**
 * hypertrace_formats() - read the formats of events from tracefs
 * @list: a file of tracefs that lists events, such as set_event, or one event as SYSTEM:NAME
 * @take: called with each format
 * @context: passed to @take
 *
 * Return: 0, the error that @take returned, or the error with which reading tracefs failed.
 */
int hypertrace_formats(const char *list, hypertrace_take take, void *context);

#ifdef CONFIG_TRACING
void hypertrace_ftrace_init(void);
void hypertrace_ftrace_exit(void);
#else
static inline void hypertrace_ftrace_init(void)
{
}

static inline void hypertrace_ftrace_exit(void)
{
}
#endif

#endif /* QEMU_HYPERTRACE_INTERNAL_H */
