/*
 * The native part of the package: opens the channel, and emits events with the guest library in C.
 *
 * Each thread of JavaScript (the main thread and each worker) loads this module once. Its code in JavaScript writes the
 * words of an event to a buffer, and calls emit(), which has no arguments: converting arguments would take most of the
 * time of an event.
 *
 * SPDX-License-Identifier: MIT
 */

#define NAPI_VERSION 8
#include <node_api.h>
#include <qemu-hypertrace.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    MOST_ARGS = 64,
    NOTES_SIZE = 1 << 16,
    NOTE_VERSION = 1,
};

/* A thread's: the words that its code in JavaScript writes. */
struct thread {
    uint64_t *words;
    size_t count;
};

static const char note_name[12] = "hypertrace";

/* The mapping with the definitions of events. htrun reads it when a thread or the process exits, so it is never
 * unmapped. */
static struct {
    pthread_mutex_t lock;
    char *memory;
    size_t size, used;
} notes = {.lock = PTHREAD_MUTEX_INITIALIZER};

static napi_value emit(napi_env env, napi_callback_info info)
{
    void *data;

    if (napi_get_cb_info(env, info, NULL, NULL, NULL, &data) == napi_ok) {
        const struct thread *own = data;
        const uint64_t index = qemu_hypertrace_client();

        memcpy(qemu_hypertrace_data(index), own->words, own->count * sizeof own->words[0]);
        qemu_hypertrace(index);
    }
    return NULL;
}

static bool begin_notes(size_t size)
{
    const int file = (int)syscall(SYS_memfd_create, "hypertrace-events", 1u /* MFD_CLOEXEC */);
    void *memory = MAP_FAILED;

    if (file < 0) {
        return false;
    }
    if (ftruncate(file, (off_t)size) == 0) {
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    }
    close(file);
    if (memory == MAP_FAILED) {
        return false;
    }
    notes.memory = memory;
    notes.size = size;
    notes.used = 0;
    return true;
}

/* Adds an ELF note. htrun may read it at any time, so the size of its name is written last. */
static void add_note(const char *text, size_t length)
{
    const size_t room = (length + 3) / 4 * 4;
    const size_t size = 3 * sizeof(uint32_t) + sizeof note_name + room;
    uint32_t *head;

    pthread_mutex_lock(&notes.lock);
    if (notes.size - notes.used >= size || begin_notes(size > NOTES_SIZE ? size : NOTES_SIZE)) {
        head = (uint32_t *)(notes.memory + notes.used);
        head[1] = (uint32_t)room;
        head[2] = NOTE_VERSION;
        memcpy(head + 3, note_name, sizeof note_name);
        memcpy((char *)(head + 3) + sizeof note_name, text, length);
        __atomic_store_n(&head[0], 11, __ATOMIC_RELEASE);
        notes.used += size;
    }
    pthread_mutex_unlock(&notes.lock);
}

/* publish(text): passes definitions of events to htrun, as TOML. Without memory, the events have no names. */
static napi_value publish(napi_env env, napi_callback_info info)
{
    napi_value text;
    size_t count = 1, length;
    char *copy;

    if (napi_get_cb_info(env, info, &count, &text, NULL, NULL) != napi_ok ||
        napi_get_value_string_utf8(env, text, NULL, 0, &length) != napi_ok) {
        napi_throw_type_error(env, NULL, "definitions are a string");
        return NULL;
    }
    copy = malloc(length + 1);
    if (copy != NULL && napi_get_value_string_utf8(env, text, copy, length + 1, &length) == napi_ok) {
        add_note(copy, length);
    }
    free(copy);
    return NULL;
}

/* start(path): opens the channel `path`, or the one that htrun has named. Returns the number of its arguments; 0 if
 * there is no channel. */
static napi_value start(napi_env env, napi_callback_info info)
{
    struct thread *own;
    void *data;
    napi_value path, result;
    napi_valuetype type = napi_undefined;
    size_t count = 1, length;
    char text[4096];
    bool is_open = false;

    if (napi_get_cb_info(env, info, &count, &path, NULL, &data) != napi_ok) {
        return NULL;
    }
    own = data;
    if (count > 0) {
        napi_typeof(env, path, &type);
    }
    if (type != napi_string) {
        is_open = qemu_hypertrace_init(NULL) == 0;
    } else if (napi_get_value_string_utf8(env, path, text, sizeof text, &length) == napi_ok) {
        is_open = qemu_hypertrace_init(text) == 0;
    }
    own->count = is_open ? (size_t)qemu_hypertrace_num_args() : 0;
    napi_create_uint32(env, (uint32_t)own->count, &result);
    return result;
}

static void release(napi_env env, void *data, void *hint)
{
    (void)env;
    (void)hint;
    free(data);
}

static bool add_function(napi_env env, napi_value exports, const char *name, napi_callback function, void *data)
{
    napi_value made;

    return napi_create_function(env, name, NAPI_AUTO_LENGTH, function, data, &made) == napi_ok &&
           napi_set_named_property(env, exports, name, made) == napi_ok;
}

NAPI_MODULE_INIT()
{
    struct thread *own = calloc(1, sizeof *own);
    napi_value words;
    napi_ref kept;
    void *memory;

    if (own == NULL || napi_set_instance_data(env, own, release, NULL) != napi_ok ||
        napi_create_arraybuffer(env, MOST_ARGS * sizeof own->words[0], &memory, &words) != napi_ok ||
        /* The buffer lives as long as the functions that use its memory. */
        napi_create_reference(env, words, 1, &kept) != napi_ok ||
        napi_set_named_property(env, exports, "words", words) != napi_ok ||
        !add_function(env, exports, "emit", emit, own) || !add_function(env, exports, "publish", publish, own) ||
        !add_function(env, exports, "start", start, own)) {
        napi_throw_error(env, NULL, "hypertrace-guest: out of memory");
        return NULL;
    }
    own->words = memory;
    return exports;
}
