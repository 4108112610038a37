// C++ exceptions: caught, rethrown, through destructors, across threads, and terminate for one that nobody catches.
// build: static, nopie
#include "subject.h"
#include <exception>
#include <future>
#include <stdexcept>
#include <string>

struct Witness {
    const char *name;
    ~Witness()
    {
        mark();
        say("destroyed %s, unwinding %d", name, std::uncaught_exceptions());
    }
};

static int deep(int level)
{
    Witness witness{"frame"};
    if (level == 0)
        throw std::runtime_error("bottom");
    return deep(level - 1) + 1;
}

int main()
{
    try {
        try {
            deep(4);
        } catch (const std::exception &error) {
            say("caught %s", error.what());
            throw std::logic_error(std::string("again ") + error.what());
        }
    } catch (const std::logic_error &error) {
        say("caught %s", error.what());
    }
    auto result = std::async(std::launch::async, [] { return deep(1); });
    try {
        result.get();
    } catch (const std::runtime_error &error) {
        say("from thread: %s", error.what());
    }
    pid_t child = MUST(fork());
    if (child == 0)
        throw 42;
    say("uncaught: %s", reaped(child));
    throw std::runtime_error("the end");
}
