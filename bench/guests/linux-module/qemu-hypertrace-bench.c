// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Measures the cost of an event for kernel code: bursts, with probes of the
 * processor around them and pauses between them, in the same order as bench/measure.h does for programs. As in
 * bench/guests/machine_emit.c, a reading of the clock is an event with a separate index, the figures are computed from
 * the trace, and before each burst the same loop stores to ordinary memory.
 */

#include <linux/delay.h>
#include <linux/module.h>
#include <linux/qemu-hypertrace.h>

#include "probe.h"

enum { EVENTS_INDEX = 2, CLOCK_INDEX = 3 };

static uint events = 10000;
module_param(events, uint, 0);
MODULE_PARM_DESC(events, "events in a burst");

static uint bursts = 10;
module_param(bursts, uint, 0);
MODULE_PARM_DESC(bursts, "bursts, those for warming up included");

static uint pause_us;
module_param(pause_us, uint, 0);
MODULE_PARM_DESC(pause_us, "microseconds after each burst");

static void read_clock(void)
{
	qemu_hypertrace(CLOCK_INDEX);
}

static void probe(void)
{
	read_clock();
	probe_turns();
	read_clock();
}

static u64 own_slot[4];
static u32 own_control;

static __always_inline void emit_from(u64 *slot)
{
	u64 i;

	for (i = 0; i < events; i++) {
		slot[0] = i;
		slot[1] = i + 1;
		slot[2] = i + 2;
		slot[3] = i + 3;
		qemu_hypertrace(EVENTS_INDEX);
	}
}

/* A separate function, so that its instructions never emit and are never patched. */
static noinline void store_aside(void)
{
	u32 *control = qemu_hypertrace_control_;

	WRITE_ONCE(qemu_hypertrace_control_, &own_control);
	emit_from(own_slot);
	WRITE_ONCE(qemu_hypertrace_control_, control);
}

static noinline void emit_events(u64 *slot)
{
	emit_from(slot);
}

static int __init bench_init(void)
{
	u64 *slot = qemu_hypertrace_data(EVENTS_INDEX);
	uint burst;

	if (qemu_hypertrace_num_args() != 4) {
		pr_err("the channel must have four arguments\n");
		return -ENODEV;
	}
	for (burst = 0; burst < bursts; burst++) {
		probe();
		read_clock();
		read_clock();
		store_aside();
		read_clock();
		emit_events(slot);
		read_clock();
		probe();
		if (pause_us)
			fsleep(pause_us);
	}
	return 0;
}
module_init(bench_init);

static void __exit bench_exit(void)
{
}
module_exit(bench_exit);

MODULE_DESCRIPTION("What an event of kernel code costs");
MODULE_LICENSE("Dual MIT/GPL");
