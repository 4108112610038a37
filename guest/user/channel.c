/*
 * Opening, checking and mapping a channel.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MAGIC "HYPRTRC1"
#define VERSION 1
#define HEADER_BYTES 64
#define HEADER_BYTES_WITH_RINGS 144
#define REGION_ALIGNMENT UINT64_C(0x10000)
#define SLOT_ALIGNMENT 64

/*
 * Limits for the fields that describe rings: the maximum valid `ring_mode` and `ring_overflow`, and maximum values for
 * which no sum overflows.
 */
#define MAX_RING_MODE 2
#define MAX_OVERFLOW 2
#define MAX_RINGS (UINT32_C(1) << 20)
#define MIN_RECORDS 128
#define MAX_RECORDS (UINT32_C(1) << 28)
#define MAX_RING_STRIDE (UINT64_C(1) << 40)
#define CONTROL_BLOCK 4096

/* statfs(2): the file system of the PCI devices' memory. */
#define SYSFS_MAGIC 0x62656572

/* The header's fields, in the program's byte order. */
struct header {
    uint32_t version;
    uint32_t num_args;
    uint64_t max_clients;
    uint64_t control_offset;
    uint64_t control_size;
    uint64_t data_offset;
    uint64_t slot_stride;
    uint64_t total_size;
    struct hypertrace_ring_fields rings;
    uint64_t file_size;
};

/* Fields are little-endian, whatever the byte order of the program. */
static uint64_t little_endian(const unsigned char *bytes, unsigned count)
{
    uint64_t value = 0;

    while (count-- > 0) {
        value = value << 8 | bytes[count];
    }
    return value;
}

static int decode_header(struct header *header, const unsigned char *raw)
{
    if (memcmp(raw, MAGIC, 8) != 0) {
        return EPROTO;
    }
    header->version = (uint32_t)little_endian(raw + 0x08, 4);
    header->num_args = (uint32_t)little_endian(raw + 0x0c, 4);
    header->max_clients = little_endian(raw + 0x10, 8);
    header->control_offset = little_endian(raw + 0x18, 8);
    header->control_size = little_endian(raw + 0x20, 8);
    header->data_offset = little_endian(raw + 0x28, 8);
    header->slot_stride = little_endian(raw + 0x30, 8);
    header->total_size = little_endian(raw + 0x38, 8);
    header->rings.mode = (uint32_t)little_endian(raw + 0x40, 4);
    header->rings.machine = (uint32_t)little_endian(raw + 0x44, 4);
    header->rings.offset = little_endian(raw + 0x48, 8);
    header->rings.stride = little_endian(raw + 0x50, 8);
    header->rings.count = (uint32_t)little_endian(raw + 0x58, 4);
    header->rings.records = (uint32_t)little_endian(raw + 0x5c, 4);
    header->rings.chunk = (uint32_t)little_endian(raw + 0x60, 4);
    header->rings.overflow = (uint32_t)little_endian(raw + 0x64, 4);
    header->file_size = little_endian(raw + 0x68, 8);
    header->rings.flags = (uint32_t)little_endian(raw + 0x70, 4);
    header->rings.counter = little_endian(raw + 0x78, 8);
    header->rings.counter_time = little_endian(raw + 0x80, 8);
    header->rings.counter_rate = little_endian(raw + 0x88, 8);
    return header->version == VERSION ? 0 : ENOTSUP;
}

static bool is_region(uint64_t offset, uint64_t total_size)
{
    return offset >= REGION_ALIGNMENT && offset % REGION_ALIGNMENT == 0 && offset < total_size;
}

/* Whether the regions are within the channel and do not overlap, and the slots are within the data region. */
static bool is_sane(const struct header *header)
{
    if (header->num_args < 1 || header->num_args > HYPERTRACE_MAX_ARGS) {
        return false;
    }
    if (header->slot_stride % SLOT_ALIGNMENT != 0 || header->slot_stride < 8 * (uint64_t)header->num_args) {
        return false;
    }
    if (!is_region(header->control_offset, header->total_size) || !is_region(header->data_offset, header->total_size)) {
        return false;
    }
    if (header->data_offset <= header->control_offset || header->control_size < REGION_ALIGNMENT ||
        header->control_size > header->data_offset - header->control_offset) {
        return false;
    }
    /* An index is stored as 32 bits. */
    return header->max_clients >= 1 && header->max_clients <= UINT32_MAX &&
           header->max_clients <= (header->total_size - header->data_offset) / header->slot_stride;
}

/* Whether the rings lie after the channel's regions and in the file, each with room for its records. */
static bool has_sane_rings(const struct header *header)
{
    const struct hypertrace_ring_fields *rings = &header->rings;
    const uint64_t record = 16 + 8 * (uint64_t)header->num_args;

    if (rings->count < 1 || rings->count > MAX_RINGS || rings->chunk < 1 || rings->chunk > MAX_RINGS ||
        rings->overflow > MAX_OVERFLOW || rings->records < MIN_RECORDS || rings->records > MAX_RECORDS) {
        return false;
    }
    if (rings->offset < header->total_size || rings->offset % REGION_ALIGNMENT != 0 ||
        rings->stride % REGION_ALIGNMENT != 0 || rings->stride > MAX_RING_STRIDE ||
        rings->stride < CONTROL_BLOCK + rings->records * record) {
        return false;
    }
    return header->file_size <= INT64_MAX && rings->offset <= header->file_size &&
           rings->count <= (header->file_size - rings->offset) / rings->stride;
}

/* The size of the channel's file as this program sees it: the BAR of a device may be only the beginning. 0: unknown. */
static uint64_t visible_size(int fd, const struct stat *file)
{
    off_t end = S_ISREG(file->st_mode) ? file->st_size : lseek(fd, 0, SEEK_END);

    return end > 0 ? (uint64_t)end : 0;
}

/* The number of rings that lie completely in the first @visible bytes of the channel's file. */
static uint32_t count_visible_rings(const struct hypertrace_ring_fields *rings, uint64_t visible)
{
    uint64_t count = visible > rings->offset ? (visible - rings->offset) / rings->stride : 0;

    return count < rings->count ? (uint32_t)count : rings->count;
}

/*
 * Sets the mode of the rings to 0 if the channel has none, if they are too large for the address space, or if this
 * program sees none of them.
 */
static int check_rings(struct header *header, uint64_t visible)
{
    struct hypertrace_ring_fields *rings = &header->rings;

    if (rings->mode == 0 || rings->mode > MAX_RING_MODE) {
        memset(rings, 0, sizeof *rings);
        return 0;
    }
    if (!has_sane_rings(header)) {
        return EINVAL;
    }
    if (visible != 0) {
        rings->count = count_visible_rings(rings, visible);
    }
    if (rings->count == 0 || rings->stride > SIZE_MAX / 4) {
        memset(rings, 0, sizeof *rings);
    } else if (rings->chunk > SIZE_MAX / 4 / rings->stride) {
        rings->chunk = (uint32_t)(SIZE_MAX / 4 / rings->stride);
    }
    return 0;
}

static int map(void **memory, size_t size, int protection, int fd)
{
    *memory = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
    return *memory == MAP_FAILED ? errno : 0;
}

/* A PCI resource or a character device can only be mapped. */
static int read_header_by_mapping(unsigned char *raw, int fd)
{
    void *memory;
    int error = map(&memory, HEADER_BYTES_WITH_RINGS, PROT_READ, fd);

    if (error == 0) {
        memcpy(raw, memory, HEADER_BYTES_WITH_RINGS);
        munmap(memory, HEADER_BYTES_WITH_RINGS);
    }
    return error;
}

static int read_header(unsigned char *raw, int fd)
{
    ssize_t count = pread(fd, raw, HEADER_BYTES_WITH_RINGS, 0);

    if (count < 0 && (errno == EIO || errno == EINVAL)) {
        return read_header_by_mapping(raw, fd);
    }
    if (count < 0) {
        return errno;
    }
    return count >= HEADER_BYTES ? 0 : EPROTO;
}

/* Whether the channel is a device of this machine: its PCI resource in sysfs, or the kernel module's device. */
static bool is_in_machine(int fd, const struct stat *file)
{
    struct statfs system;

    return S_ISCHR(file->st_mode) || (fstatfs(fd, &system) == 0 && system.f_type == SYSFS_MAGIC);
}

/* Read and check the header, and map the channel. If it fails, no part stays mapped. */
static int load(struct hypertrace_channel *channel, int fd)
{
    unsigned char raw[HEADER_BYTES_WITH_RINGS] = {0};
    struct header header;
    struct stat file;
    void *memory;
    int error;

    if (fstat(fd, &file) != 0) {
        return errno;
    }
    if (!S_ISREG(file.st_mode) && !S_ISCHR(file.st_mode)) {
        return EINVAL;
    }
    error = read_header(raw, fd);
    if (error == 0) {
        error = decode_header(&header, raw);
    }
    if (error != 0) {
        return error;
    }
    if (!is_sane(&header) || (S_ISREG(file.st_mode) && (uint64_t)file.st_size < header.total_size)) {
        return EINVAL;
    }
    if (header.total_size > SIZE_MAX) {
        return EOVERFLOW;
    }
    error = check_rings(&header, visible_size(fd, &file));
    if (error != 0) {
        return error;
    }
    error = map(&memory, (size_t)header.total_size, PROT_READ | PROT_WRITE, fd);
    if (error != 0) {
        return error;
    }
    channel->num_args = header.num_args;
    channel->max_clients = header.max_clients;
    channel->slot_stride = header.slot_stride;
    channel->memory = (char *)memory;
    channel->size = (size_t)header.total_size;
    channel->control = channel->memory + header.control_offset;
    channel->data = channel->memory + header.data_offset;
    channel->rings = header.rings;
    channel->in_machine = is_in_machine(fd, &file);
    channel->device = file.st_dev;
    channel->inode = file.st_ino;
    return 0;
}

/* A copy of the path that outlives chdir(), or NULL. */
static char *absolute_path(const char *path)
{
    char *directory = path[0] == '/' ? NULL : getcwd(NULL, 0);
    char *result;
    size_t size;

    if (directory == NULL) {
        return strdup(path);
    }
    size = strlen(directory) + 1 + strlen(path) + 1;
    result = (char *)malloc(size);
    if (result != NULL) {
        snprintf(result, size, "%s/%s", directory, path);
    }
    free(directory);
    return result;
}

/*
 * Maps the channel, and opens its file again for the locks. A mapping keeps the open file
 * description with which it was made, and every child of fork() inherits the mapping, so locks on
 * this file description would outlive the process. So the locks use another open file description.
 */
static int load_and_reopen(struct hypertrace_channel *channel)
{
    int error = load(channel, channel->fd);

    if (error != 0) {
        close(channel->fd);
        return error;
    }
    error = hypertrace_channel_reopen_fd(channel);
    if (error != 0) {
        munmap(channel->memory, channel->size);
    }
    return error;
}

/*
 * Open the channel. A process of another user or namespace than htrun may be
 * unable to follow the path; it may have inherited a descriptor.
 */
static int open_path(const char *path, const char *absolute)
{
    const char *known = getenv("HYPERTRACE");
    const char *passed = getenv("HYPERTRACE_FD");
    char own[sizeof "/proc/self/fd/" + 3 * sizeof(int)];
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int error = errno;

    if (fd < 0 && known != NULL && passed != NULL && strcmp(absolute, known) == 0) {
        snprintf(own, sizeof own, "/proc/self/fd/%d", atoi(passed));
        fd = open(own, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        errno = error;
    }
    return fd;
}

/* @channel is filled in on success only. */
int hypertrace_channel_open(struct hypertrace_channel *channel, const char *path)
{
    struct hypertrace_channel opened;
    int error;

    opened.path = absolute_path(path);
    if (opened.path == NULL) {
        return ENOMEM;
    }
    opened.fd = open_path(path, opened.path);
    error = opened.fd < 0 ? errno : load_and_reopen(&opened);
    if (error != 0) {
        free(opened.path);
        return error;
    }
    *channel = opened;
    return 0;
}

int hypertrace_channel_close(struct hypertrace_channel *channel)
{
    int error = munmap(channel->memory, channel->size) == 0 ? 0 : errno;

    if (hypertrace_channel_is_fd(channel, channel->fd)) {
        close(channel->fd);
    }
    free(channel->path);
    return error;
}

/*
 * Whether @fd is still a descriptor of the channel: the program may have closed it, and opened
 * another file with the same number.
 */
bool hypertrace_channel_is_fd(const struct hypertrace_channel *channel, int fd)
{
    struct stat file;

    return fd >= 0 && fstat(fd, &file) == 0 && file.st_dev == channel->device && file.st_ino == channel->inode;
}

static int open_channel_file(const struct hypertrace_channel *channel, const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd >= 0 && !hypertrace_channel_is_fd(channel, fd)) {
        close(fd);
        errno = ENOENT;
        fd = -1;
    }
    return fd;
}

/*
 * Opens the channel's file again, so that its descriptor does not share an open file description
 * with the parent process. If the path is gone, this function uses /proc/self/fd, which takes much
 * longer in a new process, because the kernel must first create its entries in /proc. It is called
 * in a child of fork(), so it allocates no memory.
 */
int hypertrace_channel_reopen_fd(struct hypertrace_channel *channel)
{
    char own[sizeof "/proc/self/fd/" + 3 * sizeof channel->fd];
    int old = hypertrace_channel_is_fd(channel, channel->fd) ? channel->fd : -1;
    int fresh = open_channel_file(channel, channel->path);
    int error = 0;

    if (fresh < 0 && old >= 0) {
        snprintf(own, sizeof own, "/proc/self/fd/%d", old);
        fresh = open_channel_file(channel, own);
    }
    if (fresh < 0) {
        error = errno;
    }
    if (old >= 0) {
        close(old);
    }
    channel->fd = fresh;
    return error;
}
