// A stack overflow without an alternate stack kills the program by SIGSEGV, with or without a handler.
// build: static, m32
#include "subject.h"

static void handler(int number)
{
    say("never seen %d", number);
}

__attribute__((noinline)) static int overflow(int depth)
{
    volatile char frame[4096];
    frame[depth % 4096] = (char)depth;
    return depth < 0 ? 0 : overflow(depth + 1) + frame[0];
}

int main(void)
{
    struct rlimit limit = {1 << 20, 1 << 20};
    MUST(setrlimit(RLIMIT_STACK, &limit));
    for (int with_handler = 0; with_handler < 2; with_handler++) {
        pid_t child = MUST(fork());
        if (child == 0) {
            if (with_handler)
                on_signal(SIGSEGV, handler, 0);
            return overflow(0);
        }
        say("handler %d: %s", with_handler, reaped(child));
    }
    return overflow(0);
}
