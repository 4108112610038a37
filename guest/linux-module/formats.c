// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Reads the formats of the kernel's events from tracefs. This is the only complete source, since
 * the formats of system calls and probes are created at run time.
 *
 * The module mounts tracefs privately, so it does not matter whether and where the machine has
 * mounted tracefs.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/path.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uio.h>
#include <linux/version.h>

#include "internal.h"

#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 12, 0)

#define FIRST_ROOM	SZ_16K
#define MOST_ROOM	SZ_16M
#define MOST_NAME	256

static ssize_t read_some(struct file *file, loff_t *position, char *buffer, size_t size)
{
	struct kvec vec = { .iov_base = buffer, .iov_len = size };
	struct iov_iter iter;
	struct kiocb kiocb;
	ssize_t count;

	init_sync_kiocb(&kiocb, file);
	kiocb.ki_pos = *position;
	iov_iter_kvec(&iter, READ, &vec, 1, size);
	count = seq_read_iter(&kiocb, &iter);
	*position = kiocb.ki_pos;
	return count;
}

/* Calls read() directly, because kernel_read() rejects files that implement only read(), as the files of tracefs do. */
static char *read_sequence(struct file *file)
{
	size_t room = FIRST_ROOM;
	size_t size = 0;
	loff_t position = 0;
	char *larger;
	char *text;
	ssize_t count;

	if (file->f_op->read != seq_read)
		return ERR_PTR(-EOPNOTSUPP);
	text = kvmalloc(room, GFP_KERNEL);
	if (!text)
		return ERR_PTR(-ENOMEM);
	while ((count = read_some(file, &position, text + size, room - size - 1)) > 0) {
		size += count;
		if (size < room - 1)
			continue;
		larger = room < MOST_ROOM ? kvmalloc(2 * room, GFP_KERNEL) : NULL;
		if (!larger) {
			count = -ENOMEM;
			break;
		}
		memcpy(larger, text, size);
		kvfree(text);
		text = larger;
		room *= 2;
	}
	if (count < 0) {
		kvfree(text);
		return ERR_PTR(count);
	}
	text[size] = '\0';
	return text;
}

static char *read_file(struct vfsmount *mount, const char *name)
{
	struct path root = { .mnt = mount, .dentry = mount->mnt_root };
	struct file *file = file_open_root(&root, name, O_RDONLY, 0);
	char *text;

	if (IS_ERR(file))
		return ERR_CAST(file);
	text = read_sequence(file);
	fput(file);
	return text;
}

/* Passes the format of @event (SYSTEM:NAME) to @take. It is no error if the event has just been removed. */
static int take_format(struct vfsmount *mount, char *event, hypertrace_take take, void *context)
{
	char *name = strchr(event, ':');
	char path[MOST_NAME];
	char *text;
	int result;

	if (!name)
		return 0;
	*name++ = '\0';
	if (snprintf(path, sizeof(path), "events/%s/%s/format", event, name) >= sizeof(path))
		return 0;
	text = read_file(mount, path);
	if (IS_ERR(text))
		return PTR_ERR(text) == -ENOENT ? 0 : PTR_ERR(text);
	result = take(event, text, context);
	kvfree(text);
	return result;
}

static int take_formats(struct vfsmount *mount, const char *list, hypertrace_take take,
			void *context)
{
	char *names = strchr(list, ':') ? kstrdup(list, GFP_KERNEL) : read_file(mount, list);
	char *rest = names;
	char *event;
	int error = 0;

	if (IS_ERR_OR_NULL(names))
		return names ? PTR_ERR(names) : -ENOMEM;
	while (!error && (event = strsep(&rest, "\n")))
		error = take_format(mount, event, take, context);
	kvfree(names);
	return error;
}

int hypertrace_formats(const char *list, hypertrace_take take, void *context)
{
	struct file_system_type *type = get_fs_type("tracefs");
	struct vfsmount *mount;
	int error;

	if (!type)
		return -ENODEV;
	mount = kern_mount(type);
	if (IS_ERR(mount))
		return PTR_ERR(mount);
	error = take_formats(mount, list, take, context);
	kern_unmount(mount);
	return error;
}

#else

int hypertrace_formats(const char *list, hypertrace_take take, void *context)
{
	return -EOPNOTSUPP;
}

#endif
