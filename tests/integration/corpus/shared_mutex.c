// A process-shared robust mutex: counted under contention, and inherited from an owner that died.
#include "subject.h"

struct shared {
    pthread_mutex_t mutex;
    long count;
};

int main(void)
{
    struct shared *shared =
        (struct shared *)MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&shared->mutex, &attributes);
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = MUST(fork());
        if (children[i] == 0) {
            for (int n = 0; n < 2000; n++) {
                MUST0(pthread_mutex_lock(&shared->mutex));
                shared->count++;
                MUST0(pthread_mutex_unlock(&shared->mutex));
            }
            mark();
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++)
        say("%s", reaped(children[i]));
    say("count %ld", shared->count);
    pid_t owner = MUST(fork());
    if (owner == 0) {
        MUST0(pthread_mutex_lock(&shared->mutex));
        raise(SIGKILL);
    }
    say("%s", reaped(owner));
    say("lock: %s", strerror(pthread_mutex_lock(&shared->mutex)));
    MUST0(pthread_mutex_consistent(&shared->mutex));
    MUST0(pthread_mutex_unlock(&shared->mutex));
    say("lock: %d", pthread_mutex_trylock(&shared->mutex));
    return 0;
}
