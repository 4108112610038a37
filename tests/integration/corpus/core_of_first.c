// The first process dies, and its core file is in its directory.
// untraced: no, htrun has no core
#include "subject.h"

int main(void)
{
    struct rlimit core = {RLIM_INFINITY, RLIM_INFINITY};
    MUST(setrlimit(RLIMIT_CORE, &core));
    mark();
    fault_at(4);
    return 0;
}
