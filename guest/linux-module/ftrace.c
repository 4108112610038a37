// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Sends the kernel's own trace through the channel: each event, function and marker that ftrace
 * records is also sent to the host, as a blob. The format of each event and the name of each
 * function are sent once.
 *
 * The events that ftrace records are selected in tracefs as usual. Nothing in this module can be traced itself (see the
 * Makefile), so sending an entry does not create further entries.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitmap.h>
#include <linux/hash.h>
#include <linux/irq_work.h>
#include <linux/irqflags.h>
#include <linux/kallsyms.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/timekeeping.h>
#include <linux/trace.h>
#include <linux/trace_events.h>
#include <linux/workqueue.h>

#include "internal.h"

#define MOST_TYPES	BIT(16)		/* the number of possible values of `type` in struct trace_entry */
#define FUNCTION_TYPE	1		/* TRACE_FN of kernel/trace/trace.h */
#define PRINT_TYPE	5		/* TRACE_PRINT */
#define SYMBOL_BITS	16
#define SYMBOL_SLOTS	BIT(SYMBOL_BITS)
#define SYMBOL_PROBES	16

/* The start of entries of FUNCTION_TYPE and PRINT_TYPE: see kernel/trace/trace_entries.h. */
struct code_entry {
	struct trace_entry entry;
	unsigned long ip;
	unsigned long parent_ip;	/* entries of PRINT_TYPE lack this field */
};

struct hypertrace_symbol {
	u64 address;
	char name[KSYM_SYMBOL_LEN];
};

/* A processor has one index for entries from each of these contexts. */
enum { EXPORT_ORDINARY, EXPORT_NMI, EXPORT_CONTEXTS };

static DEFINE_MUTEX(switch_lock);	/* guards @wanted, @ready and @exporting */
static bool wanted;
static bool ready;
static bool exporting;

static DEFINE_MUTEX(sending);	/* guards the indexes below, @types_sent and @symbols_sent */
static u64 sending_index;
static u64 first_entry_index;

/* The types of entries that were exported, and the types whose format was sent or does not exist. */
static DECLARE_BITMAP(types_seen, MOST_TYPES);
static DECLARE_BITMAP(types_sent, MOST_TYPES);

/* A hash table of addresses of functions. If there is no free slot for a function, its name is not sent. */
static unsigned long *symbols;
static DECLARE_BITMAP(symbols_sent, SYMBOL_SLOTS);

static void send_new(struct work_struct *work);
static void start_sending(struct irq_work *work);
static DECLARE_WORK(send_work, send_new);
/* Entries may be recorded in contexts that cannot queue work, such as the scheduler or an NMI. */
static DEFINE_IRQ_WORK(send_soon, start_sending);

static void start_sending(struct irq_work *work)
{
	schedule_work(&send_work);
}

static int send_format(const char *system, const char *text, void *only_seen)
{
	const char *line = strstr(text, "\nID: ");
	unsigned int type;
	size_t size;
	char *whole;

	if (!line || sscanf(line, "\nID: %u", &type) != 1 || type >= MOST_TYPES ||
	    test_bit(type, types_sent))
		return 0;
	if (only_seen && !test_bit(type, types_seen))
		return 0;
	size = strlen(system) + 1 + strlen(text);
	whole = kvmalloc(size + 1, GFP_KERNEL);
	if (!whole)
		return -ENOMEM;
	snprintf(whole, size + 1, "%s\n%s", system, text);
	hypertrace_blob(sending_index, HYPERTRACE_FORMAT, ktime_get_mono_fast_ns(), whole, size);
	kvfree(whole);
	set_bit(type, types_sent);
	cond_resched();
	return 0;
}

static void send_formats_from(const char *list, bool only_seen)
{
	int error = hypertrace_formats(list, send_format, only_seen ? types_seen : NULL);

	if (error)
		pr_warn_once("the formats of events can't be read (%d): name them to the host by a file\n",
			     error);
}

/*
 * Sends the formats of all events that were exported. First the events that are enabled globally
 * are searched. If an event is missing, because it is enabled only in an instance, all events are
 * searched.
 */
static void send_formats(void)
{
	if (bitmap_subset(types_seen, types_sent, MOST_TYPES))
		return;
	send_formats_from("set_event", false);
	if (bitmap_subset(types_seen, types_sent, MOST_TYPES))
		return;
	send_formats_from("available_events", true);
	bitmap_or(types_sent, types_sent, types_seen, MOST_TYPES);
}

static void send_symbol(unsigned long address)
{
	struct hypertrace_symbol symbol = { .address = address };
	int length = sprint_symbol_no_offset(symbol.name, address);

	hypertrace_blob(sending_index, HYPERTRACE_SYMBOL, ktime_get_mono_fast_ns(), &symbol,
			offsetof(struct hypertrace_symbol, name) + length);
}

static void send_symbols(void)
{
	unsigned long address;
	unsigned int slot;

	for (slot = 0; slot < SYMBOL_SLOTS; slot++) {
		address = READ_ONCE(symbols[slot]);
		if (address && !test_and_set_bit(slot, symbols_sent))
			send_symbol(address);
		cond_resched();
	}
}

static void send_new(struct work_struct *work)
{
	mutex_lock(&sending);
	send_formats();
	send_symbols();
	mutex_unlock(&sending);
}

static void want_symbol(unsigned long address)
{
	u32 slot = hash_long(address, SYMBOL_BITS);
	unsigned long found;
	int probe;

	for (probe = 0; probe < SYMBOL_PROBES; probe++, slot = (slot + 1) % SYMBOL_SLOTS) {
		found = READ_ONCE(symbols[slot]);
		if (!found)
			found = cmpxchg(&symbols[slot], 0, address);
		if (found == address)
			return;
		if (!found) {
			irq_work_queue(&send_soon);
			return;
		}
	}
}

static void want_meaning(const struct trace_entry *entry)
{
	const struct code_entry *code = container_of(entry, struct code_entry, entry);

	if (!test_bit(entry->type, types_seen)) {
		set_bit(entry->type, types_seen);
		if (!test_bit(entry->type, types_sent))
			irq_work_queue(&send_soon);
	}
	if (entry->type == FUNCTION_TYPE || entry->type == PRINT_TYPE)
		want_symbol(code->ip);
	if (entry->type == FUNCTION_TYPE)
		want_symbol(code->parent_ip);
}

/*
 * Called with interrupts disabled, so that the entries of a processor are sent in the order of
 * their times. An NMI may interrupt this function, but NMIs have a separate index.
 */
static void export_entry(struct trace_export *export, const void *entry, unsigned int size)
{
	unsigned long flags;
	u64 voffset;

	want_meaning(entry);
	raw_local_irq_save(flags);
	voffset = first_entry_index + raw_smp_processor_id() * EXPORT_CONTEXTS +
		  (in_nmi() ? EXPORT_NMI : EXPORT_ORDINARY);
	hypertrace_blob(voffset, HYPERTRACE_ENTRY, ktime_get_mono_fast_ns(), entry, size);
	raw_local_irq_restore(flags);
}

static struct trace_export hypertrace_export = {
	.write = export_entry,
	.flags = TRACE_EXPORT_EVENT | TRACE_EXPORT_FUNCTION | TRACE_EXPORT_MARKER,
};

/* Makes the module send all formats and names again, for a host that has connected after they were sent. */
static void forget_sent(void)
{
	bitmap_zero(types_seen, MOST_TYPES);
	bitmap_zero(types_sent, MOST_TYPES);
	bitmap_zero(symbols_sent, SYMBOL_SLOTS);
}

static int start_export(void)
{
	u64 first;
	int error = hypertrace_blob_indexes(&first, 1 + (u64)nr_cpu_ids * EXPORT_CONTEXTS);

	if (error)
		return error;
	symbols = kvcalloc(SYMBOL_SLOTS, sizeof(*symbols), GFP_KERNEL);
	if (!symbols)
		return -ENOMEM;
	mutex_lock(&sending);
	sending_index = first;
	first_entry_index = first + 1;
	forget_sent();
	send_formats_from("set_event", false);
	send_formats_from("ftrace:function", false);
	send_formats_from("ftrace:print", false);
	mutex_unlock(&sending);
	error = register_ftrace_export(&hypertrace_export);
	if (error)
		kvfree(symbols);
	return error;
}

static void stop_export(void)
{
	unregister_ftrace_export(&hypertrace_export);
	/* Functions may also be traced while RCU does not watch the processor. */
#ifdef CONFIG_TASKS_RUDE_RCU
	synchronize_rcu_tasks_rude();
#endif
	synchronize_rcu();
	irq_work_sync(&send_soon);
	cancel_work_sync(&send_work);
	kvfree(symbols);
}

static int set_exporting(bool on)
{
	int error = 0;

	if (on == exporting)
		return 0;
	if (on)
		error = start_export();
	else
		stop_export();
	if (!error)
		exporting = on;
	return error;
}

static int set_wanted(const char *text, const struct kernel_param *parameter)
{
	bool on;
	int error = kstrtobool(text, &on);

	if (error)
		return error;
	mutex_lock(&switch_lock);
	if (ready)
		error = set_exporting(on);
	if (!error)
		wanted = on;
	mutex_unlock(&switch_lock);
	return error;
}

static const struct kernel_param_ops wanted_ops = {
	.set = set_wanted,
	.get = param_get_bool,
};

module_param_cb(ftrace, &wanted_ops, &wanted, 0644);
MODULE_PARM_DESC(ftrace, "send what ftrace records to the host as well (default 0)");

void hypertrace_ftrace_init(void)
{
	int error = 0;

	mutex_lock(&switch_lock);
	ready = true;
	if (wanted)
		error = set_exporting(true);
	if (error) {
		const char *reason = "it failed";

		if (error == -ENODEV)
			reason = "there is no hypertrace device";
		else if (error == -ENOSPC)
			reason = "the channel has too few indexes: raise max-clients of htrun";
		pr_warn("ftrace=1: %s (%d); try again by %s\n", reason, error,
			"/sys/module/" KBUILD_MODNAME "/parameters/ftrace");
		wanted = false;
	}
	mutex_unlock(&switch_lock);
}

void hypertrace_ftrace_exit(void)
{
	mutex_lock(&switch_lock);
	ready = false;
	set_exporting(false);
	mutex_unlock(&switch_lock);
}
