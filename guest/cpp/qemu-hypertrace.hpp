/*
 * Emit events through a hypertrace channel, in C++17.
 *
 *     #include <qemu-hypertrace.hpp>
 *
 *     inline constexpr hypertrace::event<std::uint64_t, double> sample{1, "sample"};
 *     inline constexpr hypertrace::span_events<std::uint64_t> parse{2, 3, "parse"};
 *
 *     hypertrace::channel channel;            // without htrun it does nothing
 *     sample(4096, 0.5);
 *     hypertrace::span span{parse, 4096};     // ends with its scope
 *
 * hypertrace header --lang c++ generates such events from a TOML file; htrun then knows their names. Link with
 * libqemu-hypertrace-guest.a. All functions may be called from any thread. Each thread has an index of its own.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef QEMU_HYPERTRACE_HPP
#define QEMU_HYPERTRACE_HPP

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include <qemu-hypertrace.h>

namespace hypertrace {

/* The number of objects that hold the channel open. An event without a channel costs a load of this number. */
inline std::atomic<unsigned> open_channels{0};

/*
 * The channel is open while objects of this class exist. Without one, events do nothing. Objects must not be made and
 * destroyed at the same time in several threads.
 */
class channel {
public:
    /* @path: see qemu_hypertrace_init(). */
    explicit channel(const char *path = nullptr) noexcept : error_(qemu_hypertrace_init(path) == 0 ? 0 : errno)
    {
        open_channels += error_ == 0;
    }
    ~channel()
    {
        if (error_ == 0 && --open_channels == 0) {
            (void)qemu_hypertrace_fini();
        }
    }
    channel(const channel &) = delete;
    channel &operator=(const channel &) = delete;

    /* Whether the channel is open. */
    explicit operator bool() const noexcept { return error_ == 0; }
    /* The errno value of qemu_hypertrace_init(); 0 if the channel is open. */
    int error() const noexcept { return error_; }

private:
    const int error_;
};

/* The 64 bits of an argument: an integer, a bool, an enumeration or a float. */
template <typename T>
inline std::uint64_t word(T value) noexcept
{
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>, "an argument is a number or an enumeration");
    if constexpr (std::is_floating_point_v<T>) {
        const double wide = static_cast<double>(value);
        std::uint64_t bits = 0;
        static_assert(sizeof wide == sizeof bits, "double has 64 bits");
        std::memcpy(&bits, &wide, sizeof bits);
        return bits;
    } else {
        return static_cast<std::uint64_t>(value);
    }
}

/* Emit the event @id with the index of the calling thread. */
template <typename... Args>
inline void emit(std::uint64_t id, Args... args) noexcept
{
    static_assert(sizeof...(Args) < 64, "an event has at most 63 arguments");
    if (open_channels.load(std::memory_order_relaxed) == 0) {
        return;
    }
    const std::uint64_t index = qemu_hypertrace_client();
    std::uint64_t *data = qemu_hypertrace_data(index);

    *data = id;
    ((*++data = word(args)), ...);
    qemu_hypertrace(index);
}

/* A kind of event with typed arguments. Calling it emits an event. */
template <typename... Args>
struct event {
    std::uint64_t id;
    std::string_view name;

    void operator()(Args... args) const noexcept { emit(id, args...); }
};

/* A kind of span: the ids of the events that begin and end it. The end has no arguments. */
template <typename... Args>
struct span_events {
    std::uint64_t begin;
    std::uint64_t end;
    std::string_view name;
};

/* Begins a span, and ends it with its scope. */
class [[nodiscard]] span {
public:
    template <typename... Args>
    explicit span(const span_events<Args...> &events, std::common_type_t<Args>... args) noexcept : end_(events.end)
    {
        emit(events.begin, args...);
    }
    ~span() { emit(end_); }
    span(const span &) = delete;
    span &operator=(const span &) = delete;

private:
    const std::uint64_t end_;
};

} // namespace hypertrace

#endif /* QEMU_HYPERTRACE_HPP */
