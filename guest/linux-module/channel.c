// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The hypertrace channel of a virtual machine. Kernel code uses the functions of
 * <linux/qemu-hypertrace.h>; programs open /dev/hypertrace.
 *
 * The channel is the memory of a PCI device (QEMU's ivshmem-plain). Such devices also have other
 * uses, so the channel is identified by its magic number.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/io.h>
#include <linux/math64.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/preempt.h>
#include <linux/qemu-hypertrace.h>
#include <linux/sizes.h>
#include <linux/smp.h>

#include "internal.h"
#include "ring.h"

#define HYPERTRACE_BAR		2
#define HYPERTRACE_MAGIC	"HYPRTRC1"
#define HYPERTRACE_VERSION	1
#define HYPERTRACE_MAX_ARGS	64

/* Offsets in the control region. */
#define HYPERTRACE_EMIT		0
#define HYPERTRACE_HELLO	8
#define HYPERTRACE_HELLO_VALUE	0x01020304

#define HYPERTRACE_EXCHANGE	0x74	/* in the header: a number that must be answered with a reading of the clock */

/* The contexts of a processor. Each context has its own index. */
enum hypertrace_context {
	HYPERTRACE_TASK,
	HYPERTRACE_SOFTIRQ,
	HYPERTRACE_HARDIRQ,
	HYPERTRACE_NMI,
	HYPERTRACE_CONTEXTS,
};

/* The start of the channel, as htrun writes it. */
struct hypertrace_header {
	u8 magic[8];
	__le32 version;
	__le32 num_args;
	__le64 max_clients;
	__le64 control_offset;
	__le64 control_size;
	__le64 data_offset;
	__le64 slot_stride;
	__le64 total_size;
	struct hypertrace_ring_header rings;
};

/*
 * The only channel of the machine. It stays mapped from the first device's probe until the module
 * is unloaded, so that pointers into it never dangle. @num_args and @max_clients are 0 while there
 * is no device.
 */
static struct {
	void *memory;
	void *data;
	phys_addr_t address;
	unsigned long size;	/* the number of bytes that programs may map, including rings */
	size_t slot_stride;
	/*
	 * These have 32 bits, so that every processor accesses them atomically. check_header()
	 * rejects greater values.
	 */
	u32 num_args;
	u32 max_clients;
} channel;

static DEFINE_MUTEX(channel_lock);	/* serializes probe and remove */

static u64 nowhere[HYPERTRACE_MAX_ARGS];
static u32 no_control;

u32 *qemu_hypertrace_control_ = &no_control;
EXPORT_SYMBOL_GPL(qemu_hypertrace_control_);

static unsigned short mode = 0666;
module_param(mode, ushort, 0444);
MODULE_PARM_DESC(mode, "permissions of /dev/hypertrace (default 0666)");

static ulong first_index;
module_param(first_index, ulong, 0444);
MODULE_PARM_DESC(first_index, "first of the indexes for the kernel's own events (default: half of all)");

u64 qemu_hypertrace_num_args(void)
{
	return READ_ONCE(channel.num_args);
}
EXPORT_SYMBOL_GPL(qemu_hypertrace_num_args);

u64 qemu_hypertrace_max_clients(void)
{
	/* Pairs with the release in start_channel(). */
	return smp_load_acquire(&channel.max_clients);
}
EXPORT_SYMBOL_GPL(qemu_hypertrace_max_clients);

u64 *qemu_hypertrace_data(u64 voffset)
{
	if (voffset >= qemu_hypertrace_max_clients())
		return nowhere;
	return channel.data + voffset * channel.slot_stride;
}
EXPORT_SYMBOL_GPL(qemu_hypertrace_data);

static enum hypertrace_context current_context(void)
{
	if (in_nmi())
		return HYPERTRACE_NMI;
	if (in_hardirq())
		return HYPERTRACE_HARDIRQ;
	return in_serving_softirq() ? HYPERTRACE_SOFTIRQ : HYPERTRACE_TASK;
}

void qemu_hypertrace_emit(const u64 *args, unsigned int count)
{
	u64 num_args = qemu_hypertrace_num_args();
	u64 voffset;
	u64 *data;
	unsigned int i;

	preempt_disable_notrace();
	voffset = first_index + raw_smp_processor_id() * HYPERTRACE_CONTEXTS + current_context();
	data = qemu_hypertrace_data(voffset);
	for (i = 0; i < num_args; i++)
		data[i] = i < count ? args[i] : 0;
	qemu_hypertrace(voffset);
	preempt_enable_notrace();
}
EXPORT_SYMBOL_GPL(qemu_hypertrace_emit);

/* Returns the first index after those of qemu_hypertrace_emit(). The host accepts blobs with any index. */
int hypertrace_blob_indexes(u64 *first, u64 count)
{
	u64 max_clients = qemu_hypertrace_max_clients();

	if (!max_clients)
		return -ENODEV;
	*first = first_index + (u64)nr_cpu_ids * HYPERTRACE_CONTEXTS;
	return *first < max_clients && count <= max_clients - *first ? 0 : -ENOSPC;
}

static ssize_t hypertrace_read(struct file *file, char __user *buffer, size_t count,
			       loff_t *position)
{
	return simple_read_from_buffer(buffer, count, position, channel.memory,
				       sizeof(struct hypertrace_header));
}

/* Programs find out the size of the channel by a seek to its end. */
static loff_t hypertrace_llseek(struct file *file, loff_t offset, int whence)
{
	return fixed_size_llseek(file, offset, whence, channel.size);
}

static int hypertrace_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	return vm_iomap_memory(vma, channel.address, channel.size);
}

static const struct file_operations hypertrace_operations = {
	.owner = THIS_MODULE,
	.read = hypertrace_read,
	.llseek = hypertrace_llseek,
	.mmap = hypertrace_mmap,
};

static struct miscdevice hypertrace_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "hypertrace",
	.fops = &hypertrace_operations,
};

/* Whether a region is in the channel, and starts at a multiple of every page size. */
static bool is_region(u64 offset, u64 size)
{
	return offset >= SZ_64K && IS_ALIGNED(offset, SZ_64K) && offset < size;
}

static int check_header(struct pci_dev *pdev, const struct hypertrace_header *header, u64 bar_size)
{
	u64 num_args = le32_to_cpu(header->num_args);
	u64 max_clients = le64_to_cpu(header->max_clients);
	u64 control = le64_to_cpu(header->control_offset);
	u64 data = le64_to_cpu(header->data_offset);
	u64 stride = le64_to_cpu(header->slot_stride);
	u64 size = le64_to_cpu(header->total_size);

	if (memcmp(header->magic, HYPERTRACE_MAGIC, sizeof(header->magic)))
		return -ENODEV;
	if (le32_to_cpu(header->version) != HYPERTRACE_VERSION) {
		pci_err(pdev, "a hypertrace channel of version %u, not %u\n",
			le32_to_cpu(header->version), HYPERTRACE_VERSION);
		return -EOPNOTSUPP;
	}
	if (size > bar_size || !is_region(control, size) || !is_region(data, size) ||
	    control >= data || !num_args || num_args > HYPERTRACE_MAX_ARGS ||
	    stride < 8 * num_args || !IS_ALIGNED(stride, 64) || !max_clients ||
	    max_clients > U32_MAX || max_clients > div64_u64(size - data, stride)) {
		pci_err(pdev, "the hypertrace channel's header contradicts itself\n");
		return -EINVAL;
	}
	return 0;
}

static int choose_indexes(struct pci_dev *pdev, u64 max_clients)
{
	u64 wanted = (u64)nr_cpu_ids * HYPERTRACE_CONTEXTS;

	if (!first_index)
		first_index = max_clients / 2;
	if (first_index >= max_clients || wanted > max_clients - first_index) {
		pci_err(pdev, "%u processors need %llu indexes from %lu on, and there are %llu: raise max-clients of htrun\n",
			nr_cpu_ids, wanted, first_index, max_clients);
		return -ENOSPC;
	}
	return 0;
}

static struct hypertrace_ring_channel describe(struct pci_dev *pdev, const void *memory)
{
	const struct hypertrace_header *header = memory;

	return (struct hypertrace_ring_channel) {
		.address = pci_resource_start(pdev, HYPERTRACE_BAR),
		.bar_size = pci_resource_len(pdev, HYPERTRACE_BAR),
		.total_size = le64_to_cpu(header->total_size),
		.data = memory + le64_to_cpu(header->data_offset),
		.exchange = memory + HYPERTRACE_EXCHANGE,
		.slot_stride = le64_to_cpu(header->slot_stride),
		.max_clients = le64_to_cpu(header->max_clients),
		.num_args = le32_to_cpu(header->num_args),
	};
}

/* Makes the channel available: events are emitted from now on. */
static void start_channel(struct pci_dev *pdev, void *memory)
{
	const struct hypertrace_header *header = memory;
	const struct hypertrace_ring_channel described = describe(pdev, memory);
	void *control = memory + le64_to_cpu(header->control_offset);

	channel.memory = memory;
	channel.address = described.address;
	channel.size = min_t(u64, hypertrace_rings_size(&header->rings, &described), ULONG_MAX);
	channel.data = memory + le64_to_cpu(header->data_offset);
	channel.slot_stride = le64_to_cpu(header->slot_stride);
	WRITE_ONCE(channel.num_args, le32_to_cpu(header->num_args));
	WRITE_ONCE(qemu_hypertrace_control_, control + HYPERTRACE_EMIT);
	/*
	 * Pairs with the acquire in qemu_hypertrace_max_clients(): a caller that sees the new value also sees all of the
	 * above.
	 */
	smp_store_release(&channel.max_clients, (u32)le64_to_cpu(header->max_clients));
	if (hypertrace_rings_start(&header->rings, &described))
		return;
	/* This store shows the tracer the byte order of the arguments. */
	WRITE_ONCE(*(u32 *)(control + HYPERTRACE_HELLO), HYPERTRACE_HELLO_VALUE);
}

static void stop_channel(void)
{
	hypertrace_rings_stop();
	WRITE_ONCE(qemu_hypertrace_control_, &no_control);
	WRITE_ONCE(channel.max_clients, 0);
	WRITE_ONCE(channel.num_args, 0);
}

static int attach(struct pci_dev *pdev, void *memory)
{
	const struct hypertrace_header *header = memory;
	int error = check_header(pdev, header, pci_resource_len(pdev, HYPERTRACE_BAR));

	if (!error && channel.memory) {
		pci_err(pdev, "there is a hypertrace device already, or was one: unload the module to change it\n");
		error = -EBUSY;
	}
	if (!error)
		error = choose_indexes(pdev, le64_to_cpu(header->max_clients));
	if (error)
		return error;
	start_channel(pdev, memory);
	hypertrace_device.parent = &pdev->dev;
	hypertrace_device.mode = mode & 0777;
	error = misc_register(&hypertrace_device);
	if (error) {
		stop_channel();
		channel.memory = NULL;
	}
	return error;
}

/* Maps the channel without its rings: they may be larger than a 32-bit kernel can map at a time. */
static void *map_channel(struct pci_dev *pdev)
{
	resource_size_t start = pci_resource_start(pdev, HYPERTRACE_BAR);
	const struct hypertrace_header *header = memremap(start, SZ_64K, MEMREMAP_WB);
	u64 size;

	if (!header)
		return NULL;
	size = clamp_t(u64, le64_to_cpu(header->total_size), SZ_64K, pci_resource_len(pdev, HYPERTRACE_BAR));
	memunmap((void *)header);
	return memremap(start, size, MEMREMAP_WB);
}

static int hypertrace_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	resource_size_t size = pci_resource_len(pdev, HYPERTRACE_BAR);
	void *memory;
	int error;

	if (size < SZ_1M || !(pci_resource_flags(pdev, HYPERTRACE_BAR) & IORESOURCE_MEM))
		return -ENODEV;
	error = pci_enable_device_mem(pdev);
	if (error)
		return error;
	error = pci_request_region(pdev, HYPERTRACE_BAR, KBUILD_MODNAME);
	if (error)
		goto disable;
	memory = map_channel(pdev);
	if (!memory) {
		error = -ENOMEM;
		goto release;
	}
	mutex_lock(&channel_lock);
	error = attach(pdev, memory);
	mutex_unlock(&channel_lock);
	if (!error)
		return 0;
	memunmap(memory);
release:
	pci_release_region(pdev, HYPERTRACE_BAR);
disable:
	pci_disable_device(pdev);
	return error;
}

static void hypertrace_remove(struct pci_dev *pdev)
{
	mutex_lock(&channel_lock);
	misc_deregister(&hypertrace_device);
	stop_channel();
	mutex_unlock(&channel_lock);
	pci_release_region(pdev, HYPERTRACE_BAR);
	pci_disable_device(pdev);
}

static const struct pci_device_id hypertrace_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_REDHAT_QUMRANET, 0x1110) },
	{ }
};
MODULE_DEVICE_TABLE(pci, hypertrace_ids);

static struct pci_driver hypertrace_driver = {
	.name = KBUILD_MODNAME,
	.id_table = hypertrace_ids,
	.probe = hypertrace_probe,
	.remove = hypertrace_remove,
	/*
	 * Disable unbinding by sysfs. Users of the channel keep the module loaded, but they could
	 * not prevent unbinding.
	 */
	.driver.suppress_bind_attrs = true,
};

static int __init hypertrace_init(void)
{
	int error = pci_register_driver(&hypertrace_driver);

	if (!error)
		hypertrace_ftrace_init();
	return error;
}
module_init(hypertrace_init);

static void __exit hypertrace_exit(void)
{
	hypertrace_ftrace_exit();
	pci_unregister_driver(&hypertrace_driver);
	if (channel.memory)
		memunmap(channel.memory);
}
module_exit(hypertrace_exit);

MODULE_DESCRIPTION("The hypertrace channel of a QEMU machine");
MODULE_LICENSE("Dual MIT/GPL");
