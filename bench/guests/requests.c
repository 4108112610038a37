/*
 * A server's spans: requests THREADS EVENTS. Each thread emits EVENTS / THREADS events, eight for each of its requests:
 *
 *   request (arg1 1, 2, with a key), in which parse (3, 4) and handle (5, 6) follow each other; query (7, 8) is in handle
 *
 * requests.toml names them.
 */
#include <qemu-hypertrace.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { EVENTS_OF_REQUEST = 8, MOST_THREADS = 64 };

static uint64_t requests_of_thread;

static void emit(uint64_t *slot, uint64_t client, uint64_t event, uint64_t key)
{
    slot[0] = event;
    slot[1] = key;
    qemu_hypertrace(client);
}

static void *serve(void *argument)
{
    static const uint64_t events[EVENTS_OF_REQUEST] = {1, 3, 4, 5, 7, 8, 6, 2};
    uint64_t thread = (uintptr_t)argument, client = qemu_hypertrace_client();
    uint64_t *slot = qemu_hypertrace_data(client);

    for (uint64_t request = 0; request < requests_of_thread; request++)
        for (int event = 0; event < EVENTS_OF_REQUEST; event++)
            emit(slot, client, events[event], thread << 32 | request);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[MOST_THREADS];
    if (argc != 3)
        return 2;
    uint64_t count = strtoull(argv[1], NULL, 10), events = strtoull(argv[2], NULL, 10);
    if (count < 1 || count > MOST_THREADS || qemu_hypertrace_init(NULL) != 0)
        return 1;
    requests_of_thread = events / count / EVENTS_OF_REQUEST;
    for (uint64_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, serve, (void *)(uintptr_t)i) != 0)
            return 1;
    for (uint64_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
