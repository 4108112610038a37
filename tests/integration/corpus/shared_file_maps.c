// Two hundred shared mappings of ordinary files, read, written, unmapped and mapped over one another.
// build: static
#include "subject.h"

int main(void)
{
    char name[] = "pages-XXXXXX";
    int file = MUST(mkstemp(name));
    unlink(name);
    long page = sysconf(_SC_PAGESIZE);
    MUST(ftruncate(file, 8 * page));
    long sum = 0;
    for (int i = 0; i < 200; i++) {
        char *where = (char *)MUST(mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, (i % 7) * page));
        where[i] = (char)i;
        char *again = (char *)MUST(mmap(where + page, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0));
        again[0]++;
        MUST(mprotect(where, (size_t)page, PROT_READ));
        sum += where[i] + again[0];
        if (i % 50 == 0)
            mark();
        MUST(munmap(where, (size_t)(2 * page)));
    }
    say("sum %ld", sum);
    return 0;
}
