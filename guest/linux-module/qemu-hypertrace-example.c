// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * An example of kernel code that emits events: when it is loaded, on every processor, and in the
 * interrupt of a timer. The first argument says which of these has emitted the event; the other
 * arguments are counts.
 */

#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/qemu-hypertrace.h>
#include <linux/smp.h>
#include <linux/version.h>

enum { LOADED = 1, ON_PROCESSOR = 2, IN_TIMER = 3, UNLOADED = 4 };

static uint count = 10;
module_param(count, uint, 0444);
MODULE_PARM_DESC(count, "events on each processor and in the timer (default 10)");

static struct hrtimer timer;
static DECLARE_COMPLETION(timer_done);
static u64 ticks;

static void emit(u64 what, u64 number)
{
	u64 args[] = { what, number, raw_smp_processor_id() };

	qemu_hypertrace_emit(args, ARRAY_SIZE(args));
}

static void emit_on_processor(void *unused)
{
	uint number;

	for (number = 0; number < count; number++)
		emit(ON_PROCESSOR, number);
}

static enum hrtimer_restart emit_in_timer(struct hrtimer *this)
{
	emit(IN_TIMER, ticks);
	if (++ticks >= count) {
		complete(&timer_done);
		return HRTIMER_NORESTART;
	}
	hrtimer_forward_now(this, ms_to_ktime(1));
	return HRTIMER_RESTART;
}

static int __init example_init(void)
{
	u64 *data;

	if (!qemu_hypertrace_num_args()) {
		pr_err("this machine has no hypertrace device\n");
		return -ENODEV;
	}
	/* If the module chooses the index itself, it needs two steps to emit an event. */
	data = qemu_hypertrace_data(0);
	data[0] = LOADED;
	qemu_hypertrace(0);

	on_each_cpu(emit_on_processor, NULL, 1);

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(&timer, emit_in_timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
#else
	hrtimer_init(&timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	timer.function = emit_in_timer;
#endif
	hrtimer_start(&timer, ms_to_ktime(1), HRTIMER_MODE_REL);
	wait_for_completion(&timer_done);
	return 0;
}
module_init(example_init);

static void __exit example_exit(void)
{
	hrtimer_cancel(&timer);
	emit(UNLOADED, ticks);
}
module_exit(example_exit);

MODULE_DESCRIPTION("Example of events from kernel code");
MODULE_LICENSE("Dual MIT/GPL");
