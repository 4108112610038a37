/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Emit events through the hypertrace channel of this machine.
 *
 *	u64 args[] = { 0xcafe, 0xbabe };
 *
 *	qemu_hypertrace_emit(args, ARRAY_SIZE(args));
 *
 * To emit an event, store its arguments in a slot of the channel, and then store the index of the
 * slot. The tracer outside the machine sees the second store. If the channel has rings for this
 * machine, this code writes the record itself instead.
 *
 * Every function may be called in any context, including interrupts. Without a device all functions
 * still work, and nothing is recorded. A module that uses them keeps qemu-hypertrace loaded, and
 * what qemu_hypertrace_data() returned stays valid while it is loaded, even if the device is
 * unplugged.
 */
#ifndef _LINUX_QEMU_HYPERTRACE_H
#define _LINUX_QEMU_HYPERTRACE_H

#include <asm/barrier.h>
#include <linux/compiler.h>
#include <linux/jump_label.h>
#include <linux/types.h>

/* The number of arguments of each event, in 64-bit words: 1 to 64; 0 without a device. */
u64 qemu_hypertrace_num_args(void);

/* The number of slots. Valid indexes are less than this number. 0 without a device. */
u64 qemu_hypertrace_max_clients(void);

/**
 * qemu_hypertrace_data() - the slot of an index
 * @voffset: the index
 *
 * Only one context at a time may use a slot. The module's own events take four indexes for each
 * processor, from its parameter first_index on.
 *
 * Return: qemu_hypertrace_num_args() words. The result is never NULL: without a
 * device, or if @voffset is out of range, it is memory of 64 words that is
 * never read.
 */
u64 *qemu_hypertrace_data(u64 voffset);

/**
 * qemu_hypertrace() - emit the event of an index, with the arguments in its slot
 * @voffset: the index; if it is out of range, nothing is recorded and htrun warns
 */
static __always_inline void qemu_hypertrace(u64 voffset);

/**
 * qemu_hypertrace_emit() - emit an event through an index of this processor
 * @args: the arguments
 * @count: the number of arguments; missing arguments of the event are 0, and surplus arguments are
 * ignored
 *
 * Tasks, soft interrupts, interrupts and NMIs have separate indexes. So a
 * context that interrupts another context does not change the arguments of its
 * event.
 */
void qemu_hypertrace_emit(const u64 *args, unsigned int count);

/* The rest of this file is not part of the interface. */

/*
 * The address of the control word; without a device, the address of an unused word. The code that
 * emits is inline and has no branch: a disabled static key is an instruction that does nothing.
 * Under an emulator, a call would cost more than the event, because the emulator looks up the
 * target of the return in a table. So the functions are always inlined: to a compiler, code with a
 * static key looks larger than it is.
 */
extern u32 *qemu_hypertrace_control_;

/* If this key is enabled, the following function writes records to rings. */
DECLARE_STATIC_KEY_FALSE(qemu_hypertrace_rings_);
extern void qemu_hypertrace_by_ring_(u64 voffset);

static __always_inline void qemu_hypertrace_by_store_(u32 index)
{
	u32 *control = READ_ONCE(qemu_hypertrace_control_);

	/*
	 * The host must see the arguments before the index, even if it has more
	 * processors than this machine.
	 */
	virt_wmb();
	WRITE_ONCE(*control, index);
	/* The arguments of the next event must not be written before this. */
	barrier();
}

static __always_inline void qemu_hypertrace(u64 voffset)
{
	if (static_branch_unlikely(&qemu_hypertrace_rings_))
		qemu_hypertrace_by_ring_(voffset);
	else
		qemu_hypertrace_by_store_(voffset);
}

#endif /* _LINUX_QEMU_HYPERTRACE_H */
