/*
 * Opens the channel in a virtual machine, where it is the memory of an ivshmem-plain PCI device.
 *
 * The device (QEMU docs/specs/ivshmem-spec) has vendor 1af4, device 1110 and
 * its memory in BAR 2. Such devices also have other uses, so the channel is identified by its magic
 * number.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define IVSHMEM_VENDOR 0x1af4
#define IVSHMEM_DEVICE 0x1110

/* The path of an attribute of a PCI device in sysfs; "" if the path is too long. */
static const char *attribute_path(char path[PATH_MAX], const char *device, const char *attribute)
{
    int length = snprintf(path, PATH_MAX, "%s/%s/%s", HYPERTRACE_PCI_DEVICES, device, attribute);

    if (length < 0 || length >= PATH_MAX) {
        path[0] = '\0';
    }
    return path;
}

/* The number in an attribute, such as "0x1af4" or "1"; -1 if the attribute can't be read. */
static long read_attribute(const char *device, const char *attribute)
{
    char path[PATH_MAX];
    char text[32];
    ssize_t count;
    int fd = open(attribute_path(path, device, attribute), O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return -1;
    }
    count = read(fd, text, sizeof text - 1);
    close(fd);
    if (count <= 0) {
        return -1;
    }
    text[count] = '\0';
    return strtol(text, NULL, 0);
}

static int set_enabled(const char *device, bool enabled)
{
    char path[PATH_MAX];
    int error = 0;
    int fd = open(attribute_path(path, device, "enable"), O_WRONLY | O_CLOEXEC);

    if (fd < 0) {
        return errno;
    }
    if (write(fd, enabled ? "1" : "0", 1) != 1) {
        error = errno;
    }
    close(fd);
    return error;
}

/*
 * The memory of a device that is not enabled reads as all ones, which is not a
 * channel. So the device is enabled, and disabled again if it turns out not to
 * be a channel. The kernel counts how often a device is enabled, so this does not affect other
 * users of the device.
 */
static int open_device(struct hypertrace_channel *channel, const char *device)
{
    char path[PATH_MAX];
    int error;

    attribute_path(path, device, "resource2");
    error = hypertrace_channel_open(channel, path);
    if (error != EPROTO || read_attribute(device, "enable") != 0) {
        return error;
    }
    error = set_enabled(device, true);
    if (error != 0) {
        return error;
    }
    error = hypertrace_channel_open(channel, path);
    if (error != 0) {
        (void)set_enabled(device, false);
    }
    return error;
}

/*
 * The kernel module's device is tried first, because it needs no privileges. If a PCI device has a
 * driver, and the kernel has CONFIG_IO_STRICT_DEVMEM, no program can map the memory of the PCI
 * device.
 */
int hypertrace_pci_open(struct hypertrace_channel *channel)
{
    int result = hypertrace_channel_open(channel, HYPERTRACE_DEVICE);
    const struct dirent *entry;
    DIR *devices;

    if (result != ENOENT) {
        return result;
    }
    devices = opendir(HYPERTRACE_PCI_DEVICES);
    if (devices == NULL) {
        return ENOENT;
    }
    while (result != 0 && (entry = readdir(devices)) != NULL) {
        int error;

        if (read_attribute(entry->d_name, "vendor") != IVSHMEM_VENDOR ||
            read_attribute(entry->d_name, "device") != IVSHMEM_DEVICE) {
            continue;
        }
        error = open_device(channel, entry->d_name);
        if (error != EPROTO) {
            result = error;
        }
    }
    closedir(devices);
    return result;
}
