// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Writes events to rings. Each processor writes the records of its events to its own ring, so that no tracer outside
 * the machine has to catch a store.
 *
 * Interrupts and NMIs may emit events between any two instructions of this code. Each event has its
 * own record, because a single instruction reserves the number of a record (`reserved` of the
 * ring). After an interrupt has emitted, the interrupted event finds that `reserved` has changed.
 * It then takes the slow path, which reads all values again.
 *
 * docs/formats.md describes the ring; guest/user/emit.c does the same for
 * programs. Numbers of records have 64 bits, but this code needs only the lower half.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/io.h>
#include <linux/jump_label.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/qemu-hypertrace.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>
#include <linux/smp.h>
#include <linux/timekeeping.h>

#ifdef CONFIG_X86
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/processor.h>
#endif
#ifdef CONFIG_ARM64
#include <asm/sysreg.h>
#endif

#include "ring.h"

#define CONTROL_BLOCK		4096
#define LAPS			0x7fffffffU
#define BY_RING			0x80000000U
#define MAX_RINGS		(1U << 20)
#define MIN_RECORDS		128
#define MAX_RECORDS		(1U << 28)
#define MAX_STRIDE		(1ULL << 40)

/*
 * With --overflow drop, the number of records that are kept free for contexts that interrupt each
 * other between the check for room and the reservation of a number.
 */
#define DROP_MARGIN		64

/* A bit of a ring's flags: time stamps are from this machine's clock, which the host does not know. */
#define IN_MACHINE		2

/* The upper half of a ring's `owner`, which is no valid process id. The lower half is the processor's number plus 1. */
#define KERNEL_OWNER		0xffffffffU

enum hypertrace_ring_mode {
	RINGS_FOR_NATIVE = 1,
	RINGS_FOR_ALL = 2,
};

enum hypertrace_ring_state {
	RING_CLAIMED = 1,
	RING_USED = 2,
	RING_ENDED = 3,
};

enum hypertrace_overflow {
	RING_BLOCK,
	RING_DROP,
	RING_OVERWRITE,
};

enum hypertrace_clock {
	CLOCK_TSC = 0,
	CLOCK_RAW = 1,		/* CLOCK_MONOTONIC_RAW of this machine, in ns */
	CLOCK_CNTVCT = 2,
};

/* A 64-bit number in the channel. The lower half comes first. */
union hypertrace_number {
	u64 all;
	u32 halves[2];
};

struct hypertrace_control_block {
	union hypertrace_number owner;
	__le64 cookie;
	__le32 state;
	__le32 flags;
	char name[16];
	u8 unused_1[24];
	union hypertrace_number reserved;
	union hypertrace_number dropped;
	__le32 bell;
	u8 unused_2[4];
	u32 answered;		/* in the byte order of the header */
	u8 unused_3[4];
	union hypertrace_number answer;
	u8 unused_4[24];
	union hypertrace_number released;
};

/* The part of a record before its arguments, in the machine's byte order. */
struct hypertrace_record {
	u64 timestamp;
	union {
		u64 both;
		struct {
			u32 lap;
			u32 index;
		};
	};
	u64 args[];
};

/* The state of a processor that writes to its ring. */
struct hypertrace_producer {
	struct hypertrace_control_block *control;
	void *records;
	u32 limit;		/* records below this number have room; an old value is too low */
	atomic64_t lap;		/* lower half: the number of the lap's first record; upper half: the lap */
	u32 answered;		/* the number that was answered last, in the byte order of the header */
	u32 answering;		/* 1 while an answer is being written, perhaps by interrupted code */
};

static DEFINE_PER_CPU(struct hypertrace_producer, producers);

/* The properties that all rings share; they are constant while rings are in use. */
static struct {
	struct hypertrace_ring_channel channel;
	u32 count;		/* the number of records in a ring */
	u32 overflow;
	u32 clock;
} rings;

DEFINE_STATIC_KEY_FALSE(qemu_hypertrace_rings_);
EXPORT_SYMBOL_GPL(qemu_hypertrace_rings_);

static u32 le_half(u32 half)
{
	return le32_to_cpu((__force __le32)half);
}

static __always_inline u32 low_half(const union hypertrace_number *number)
{
	return le_half(READ_ONCE(number->halves[0]));
}

/*
 * Adds 1, atomically with respect to interrupts of this processor. Returns the lower half of the
 * old value.
 */
static __always_inline u32 add_one(union hypertrace_number *number)
{
#if defined(CONFIG_X86_64)
	u64 old = 1;

	asm volatile("xaddq %0, %1" : "+r" (old), "+m" (number->all) : : "memory", "cc");
	return old;
#elif defined(CONFIG_64BIT) && !defined(__BIG_ENDIAN)
	return atomic64_fetch_inc_relaxed((atomic64_t *)&number->all);
#else
	u32 old;
	u32 seen = READ_ONCE(number->halves[0]);

	do {
		old = seen;
		seen = cmpxchg(&number->halves[0], old, (__force u32)cpu_to_le32(le_half(old) + 1));
	} while (seen != old);
	if (unlikely(le_half(old) == U32_MAX))
		number->halves[1] = (__force u32)cpu_to_le32(le_half(number->halves[1]) + 1);
	return le_half(old);
#endif
}

/* The number of records from @base to @number; negative if @number is before @base. */
static s32 distance(u32 number, u32 base)
{
	return number - base;
}

static u64 read_clock(void)
{
	u64 time;

	switch (rings.clock) {
#ifdef CONFIG_X86
	case CLOCK_TSC:
		time = rdtsc();
		break;
#endif
#ifdef CONFIG_ARM64
	case CLOCK_CNTVCT:
		time = read_sysreg(cntvct_el0);
		break;
#endif
	default:
		time = ktime_get_raw_fast_ns();
	}
	barrier();
	return time;
}

/* Makes sure that a later reading of the counter happens after earlier loads. */
static void finish_loads(void)
{
#ifdef CONFIG_X86
	rdtsc_ordered();
#elif defined(CONFIG_ARM64)
	isb();
#endif
}

static size_t record_bytes(void)
{
	return sizeof(struct hypertrace_record) + rings.channel.num_args * sizeof(u64);
}

static struct hypertrace_record *record_at(const struct hypertrace_producer *producer, u32 position)
{
	return producer->records + position * record_bytes();
}

static u64 pack_lap(u32 base, u32 lap)
{
	return (u64)lap << 32 | base;
}

/*
 * The position and the lap of record @number, even if interrupts have changed the producer since
 * the number was reserved.
 */
static u32 find_place(struct hypertrace_producer *producer, u32 number, u32 *lap)
{
	u64 both = atomic64_read(&producer->lap);
	u32 base = both;

	*lap = both >> 32;
	while (distance(number, base) < 0) {
		base -= rings.count;
		*lap = *lap == 1 ? LAPS : *lap - 1;
	}
	if (number - base >= rings.count) {
		do {
			base += rings.count;
			*lap = *lap == LAPS ? 1 : *lap + 1;
		} while (number - base >= rings.count);
		atomic64_set(&producer->lap, pack_lap(base, *lap));
	}
	return number - base;
}

static bool has_room(struct hypertrace_producer *producer, u32 number)
{
	u32 released = low_half(&producer->control->released);

	/* The reader must have read the old record before its position is overwritten. */
	virt_mb();
	WRITE_ONCE(producer->limit, released + rings.count);
	return distance(number, released + rings.count) < 0;
}

/* Waits until the reader has released the old record at the position of record @number. Must not sleep. */
static void wait_for_room(struct hypertrace_producer *producer, u32 number)
{
	while (!has_room(producer, number)) {
		WRITE_ONCE(producer->control->bell, cpu_to_le32(1));
		cpu_relax();
	}
}

/*
 * Whether record @number can no longer be written: its event was interrupted, and meanwhile the
 * reader has skipped the record, or newer records use its position.
 */
static bool is_passed_over(const struct hypertrace_producer *producer, u32 number)
{
	if (rings.overflow == RING_OVERWRITE)
		return distance(low_half(&producer->control->reserved), number) > (s32)rings.count;
	return distance(low_half(&producer->control->released), number) > 0;
}

/* Returns @time, or the time of the next record if that is earlier. The next record is an event of an interrupt. */
static u64 time_before_next(struct hypertrace_producer *producer, u32 number, u64 time)
{
	u32 lap;
	const struct hypertrace_record *next = record_at(producer, find_place(producer, number + 1, &lap));

	return READ_ONCE(next->lap) == (lap | BY_RING) ? min(time, next->timestamp) : time;
}

static void write_record(struct hypertrace_record *record, u64 time, u32 lap, u32 index)
{
	const u64 *slot = rings.channel.data + (size_t)index * rings.channel.slot_stride;
	u32 i;

	record->timestamp = time;
	for (i = 0; i < rings.channel.num_args; i++)
		record->args[i] = slot[i];
	virt_wmb();
	lap |= BY_RING;
#if defined(CONFIG_64BIT) && !defined(__BIG_ENDIAN)
	WRITE_ONCE(record->both, (u64)index << 32 | lap);
#elif defined(CONFIG_64BIT)
	WRITE_ONCE(record->both, (u64)lap << 32 | index);
#else
	WRITE_ONCE(record->index, index);
	virt_wmb();
	WRITE_ONCE(record->lap, lap);
#endif
}

/*
 * Emits an event for which record @number is reserved. Called if the record begins a new lap, if it
 * is not known to have room, or if an interrupt has emitted meanwhile.
 */
static noinline void record_slowly(struct hypertrace_producer *producer, u32 number, u32 index)
{
	u32 position;
	u32 lap;
	u64 time;

	for (;;) {
		if (rings.overflow == RING_BLOCK) {
			wait_for_room(producer, number);
		} else if (rings.overflow == RING_DROP && !has_room(producer, number)) {
			add_one(&producer->control->dropped);
			return;
		}
		position = find_place(producer, number, &lap);
		time = read_clock();
		if (low_half(&producer->control->reserved) == number + 1)
			break;
		if (!is_passed_over(producer, number)) {
			time = time_before_next(producer, number, time);
			break;
		}
		number = add_one(&producer->control->reserved);
	}
	write_record(record_at(producer, position), time, lap, index);
}

/*
 * Answers the number in the header with a reading of this machine's clock. The number is read
 * before the clock, and the host reads its own clock after it has found the answer. A context that
 * interrupts this function does not answer the number.
 */
static noinline void answer(struct hypertrace_producer *producer)
{
	struct hypertrace_control_block *control = producer->control;
	u32 number;
	u64 time;

	if (cmpxchg(&producer->answering, 0, 1))
		return;
	number = READ_ONCE(*rings.channel.exchange);
	virt_rmb();
	finish_loads();
	time = read_clock();
	WRITE_ONCE(control->answered, 0);
	virt_wmb();
	WRITE_ONCE(control->answer.halves[0], (__force u32)cpu_to_le32(time));
	WRITE_ONCE(control->answer.halves[1], (__force u32)cpu_to_le32(time >> 32));
	virt_wmb();
	WRITE_ONCE(control->answered, number);
	producer->answered = number;
	barrier();
	WRITE_ONCE(producer->answering, 0);
}

static void emit(struct hypertrace_producer *producer, u32 index)
{
	struct hypertrace_control_block *control = producer->control;
	u32 number;
	u64 lap;
	u64 time;

	if (unlikely(READ_ONCE(*rings.channel.exchange) != READ_ONCE(producer->answered)))
		answer(producer);
	if (rings.overflow == RING_DROP &&
	    distance(low_half(&control->reserved) + DROP_MARGIN, READ_ONCE(producer->limit)) >= 0 &&
	    !has_room(producer, low_half(&control->reserved) + DROP_MARGIN)) {
		add_one(&control->dropped);
		return;
	}
	number = add_one(&control->reserved);
	lap = atomic64_read(&producer->lap);
	if (unlikely(number - (u32)lap >= rings.count) ||
	    (rings.overflow != RING_OVERWRITE &&
	     unlikely(distance(number, READ_ONCE(producer->limit)) >= 0))) {
		record_slowly(producer, number, index);
		return;
	}
	time = read_clock();
	if (unlikely(low_half(&control->reserved) != number + 1)) {
		record_slowly(producer, number, index);
		return;
	}
	write_record(record_at(producer, number - (u32)lap), time, lap >> 32, index);
}

void qemu_hypertrace_by_ring_(u64 voffset)
{
	u32 index = voffset;

	if (unlikely(index >= rings.channel.max_clients)) {
		qemu_hypertrace_by_store_(index);
		return;
	}
	preempt_disable_notrace();
	emit(raw_cpu_ptr(&producers), index);
	preempt_enable_notrace();
}
EXPORT_SYMBOL_GPL(qemu_hypertrace_by_ring_);

/*
 * Whether the processor of a host with this ELF machine number runs this kernel directly. Then time
 * stamps come from the processor's counter.
 */
static bool is_native(u32 host_machine)
{
#ifdef CONFIG_X86
	return host_machine == 62 &&
	       !(boot_cpu_has(X86_FEATURE_HYPERVISOR) && hypervisor_cpuid_base("TCGTCGTCGTCG", 0));
#elif defined(CONFIG_ARM64)
	return host_machine == 183;
#else
	return false;
#endif
}

static u32 choose_clock(bool native)
{
	if (native && IS_ENABLED(CONFIG_X86))
		return CLOCK_TSC;
	return native && IS_ENABLED(CONFIG_ARM64) ? CLOCK_CNTVCT : CLOCK_RAW;
}

static bool is_sane(const struct hypertrace_ring_header *header, const struct hypertrace_ring_channel *channel)
{
	u32 count = le32_to_cpu(header->count);
	u32 records = le32_to_cpu(header->records);
	u64 offset = le64_to_cpu(header->offset);
	u64 stride = le64_to_cpu(header->stride);
	u64 record = sizeof(struct hypertrace_record) + channel->num_args * sizeof(u64);

	return count && count <= MAX_RINGS && records >= MIN_RECORDS && records <= MAX_RECORDS &&
	       le32_to_cpu(header->overflow) <= RING_OVERWRITE &&
	       IS_ALIGNED(offset, SZ_64K) && offset >= channel->total_size && offset <= channel->bar_size &&
	       IS_ALIGNED(stride, SZ_64K) && stride <= MAX_STRIDE && stride >= CONTROL_BLOCK + records * record &&
	       stride <= channel->bar_size - offset;
}

/* The number of rings in the device's memory, which may be only the beginning of the channel's file. */
static u32 visible_rings(const struct hypertrace_ring_header *header, const struct hypertrace_ring_channel *channel)
{
	u64 room = channel->bar_size - le64_to_cpu(header->offset);

	return min_t(u64, le32_to_cpu(header->count), div64_u64(room, le64_to_cpu(header->stride)));
}

u64 hypertrace_rings_size(const struct hypertrace_ring_header *header,
			  const struct hypertrace_ring_channel *channel)
{
	u32 mode = le32_to_cpu(header->mode);

	if ((mode != RINGS_FOR_NATIVE && mode != RINGS_FOR_ALL) || !is_sane(header, channel))
		return channel->total_size;
	return le64_to_cpu(header->offset) + visible_rings(header, channel) * le64_to_cpu(header->stride);
}

/*
 * Makes the processor the owner of a ring, if the ring is free. A ring has an owner if either half
 * of the owner word is not zero.
 */
static bool take_ownership(struct hypertrace_control_block *control, unsigned int cpu)
{
	u32 tid = (__force u32)cpu_to_le32(cpu + 1);
	u32 pid = (__force u32)cpu_to_le32(KERNEL_OWNER);

#ifdef CONFIG_64BIT
	union hypertrace_number owner = { .halves = { tid, pid } };

	return !READ_ONCE(control->owner.all) && !cmpxchg(&control->owner.all, 0ULL, owner.all);
#else
	if (READ_ONCE(control->owner.halves[0]) || cmpxchg(&control->owner.halves[0], 0, tid))
		return false;
	WRITE_ONCE(control->owner.halves[1], pid);
	return true;
#endif
}

static u64 read_number(const union hypertrace_number *number)
{
	return (u64)le_half(READ_ONCE(number->halves[1])) << 32 | low_half(number);
}

static void fill_in(struct hypertrace_producer *producer, struct hypertrace_control_block *control,
		    unsigned int cpu, u64 cookie)
{
	u32 flags = IS_ENABLED(CONFIG_CPU_BIG_ENDIAN) | IN_MACHINE | rings.clock << 8;
	u64 laps = div_u64(read_number(&control->reserved), rings.count);
	u32 lap;

	WRITE_ONCE(control->state, cpu_to_le32(RING_CLAIMED));
	control->cookie = cpu_to_le64(cookie);
	control->flags = cpu_to_le32(flags);
	memset(control->name, 0, sizeof(control->name));
	snprintf(control->name, sizeof(control->name), "cpu%u", cpu);
	div_u64_rem(laps, LAPS, &lap);
	atomic64_set(&producer->lap, pack_lap(laps * rings.count, lap + 1));
	producer->limit = low_half(&control->released) + rings.count;
	producer->records = (void *)control + CONTROL_BLOCK;
	producer->control = control;
	producer->answering = 0;
	answer(producer);
	virt_wmb();
	WRITE_ONCE(control->state, cpu_to_le32(RING_USED));
}

/*
 * Claims the first free ring from *@ring on, and sets *@ring to the next ring. Returns NULL if no
 * ring is free, or if there is no memory.
 */
static struct hypertrace_control_block *claim(const struct hypertrace_ring_header *header, u32 *ring, unsigned int cpu)
{
	u64 stride = le64_to_cpu(header->stride);
	phys_addr_t first = rings.channel.address + le64_to_cpu(header->offset);
	size_t size = CONTROL_BLOCK + rings.count * record_bytes();

	while (*ring < visible_rings(header, &rings.channel)) {
		struct hypertrace_control_block *control = memremap(first + *ring * stride, size, MEMREMAP_WB);

		++*ring;
		if (!control)
			return NULL;
		if (take_ownership(control, cpu))
			return control;
		memunmap(control);
	}
	return NULL;
}

static void give_back(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		struct hypertrace_producer *producer = per_cpu_ptr(&producers, cpu);

		if (!producer->control)
			continue;
		virt_wmb();
		WRITE_ONCE(producer->control->state, cpu_to_le32(RING_ENDED));
		memunmap(producer->control);
		producer->control = NULL;
	}
}

static bool claim_all(const struct hypertrace_ring_header *header)
{
	u64 cookie = get_random_u64();
	unsigned int cpu;
	u32 ring = 0;

	for_each_possible_cpu(cpu) {
		struct hypertrace_control_block *control = claim(header, &ring, cpu);

		if (!control) {
			pr_info("no ring for each processor: events are stores\n");
			give_back();
			return false;
		}
		fill_in(per_cpu_ptr(&producers, cpu), control, cpu, cookie);
	}
	return true;
}

bool hypertrace_rings_start(const struct hypertrace_ring_header *header,
			    const struct hypertrace_ring_channel *channel)
{
	u32 mode = le32_to_cpu(header->mode);
	bool native = is_native(le32_to_cpu(header->machine));

	if (!(mode == RINGS_FOR_ALL || (mode == RINGS_FOR_NATIVE && native)) || !is_sane(header, channel))
		return false;
	rings.channel = *channel;
	rings.count = le32_to_cpu(header->records);
	rings.overflow = le32_to_cpu(header->overflow);
	rings.clock = choose_clock(native);
	if (!claim_all(header))
		return false;
	static_branch_enable(&qemu_hypertrace_rings_);
	return true;
}

void hypertrace_rings_stop(void)
{
	if (!static_key_enabled(&qemu_hypertrace_rings_))
		return;
	static_branch_disable(&qemu_hypertrace_rings_);
	/* Wait until no event is being written. Events are written with preemption disabled. */
	synchronize_rcu();
	give_back();
}
