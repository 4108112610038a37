// A fault inside the SIGSEGV handler kills the program; with SA_NODEFER, the handler is called again.
#include "subject.h"

static int depth;
static sigjmp_buf back;

static void faults_again(int number)
{
    say("depth %d", ++depth);
    mark();
    if (depth == 3)
        siglongjmp(back, 1);
    *(volatile int *)(long)number = 1;
}

int main(void)
{
    on_signal(SIGSEGV, faults_again, SA_NODEFER);
    if (sigsetjmp(back, 1) == 0)
        fault_at(4);
    say("back");
    depth = 0;
    on_signal(SIGSEGV, faults_again, 0);
    fault_at(4);
    return 0;
}
