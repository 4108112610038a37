// System V shared memory and semaphores with SEM_UNDO: undone when the holder is killed.
#include "subject.h"
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>

int main(void)
{
    int memory = MUST(shmget(IPC_PRIVATE, 4096, 0600)), semaphore = MUST(semget(IPC_PRIVATE, 1, 0600));
    volatile int *word = (volatile int *)MUST(shmat(memory, NULL, 0));
    MUST(shmctl(memory, IPC_RMID, NULL));
    MUST(semctl(semaphore, 0, SETVAL, 1));
    pid_t child = MUST(fork());
    if (child == 0) {
        struct sembuf down = {0, -1, SEM_UNDO};
        MUST(semop(semaphore, &down, 1));
        *word = semctl(semaphore, 0, GETVAL) + 50;
        mark();
        raise(SIGKILL);
    }
    say("%s", reaped(child));
    say("word %d, undone to %d", *word, semctl(semaphore, 0, GETVAL));
    struct shmid_ds state;
    MUST(shmctl(memory, IPC_STAT, &state));
    say("attached %d, made by me %d", (int)state.shm_nattch, state.shm_cpid == getpid());
    MUST(semctl(semaphore, 0, IPC_RMID));
    return 0;
}
