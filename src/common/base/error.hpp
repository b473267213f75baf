// Error: the one way an expected failure travels. An errno for programs and a sentence for a person.
//
// Throw it where a request or a command cannot go on; the dispatcher of requests, or the command driver, catches it in
// one place. Parsers on hot paths return Expected<T> instead. A broken invariant is neither: use FLUX_ASSERT.
#pragma once
#include <cstdint>
#include <expected>
#include <stdexcept>
#include <string>

#include "common/base/format.hpp"

namespace flux {

class Error : public std::runtime_error {
public:
    // The text is a whole sentence naming the thing, the value and the remedy.
    template <class... Args>
    Error(int errnum, fmt::format_string<Args...> format, Args &&...args)
        : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)), errnum_(errnum)
    {}
    // The text is the system's own for errnum.
    explicit Error(int errnum);
    // A text that came from elsewhere (an error response, a library) and must not be taken as a format.
    static Error with_text(int errnum, const std::string &text) { return Error(errnum, "{}", text); }

    int errnum() const noexcept { return errnum_; }
    std::string text() const { return what(); }

private:
    int errnum_;
};

template <class T>
using Expected = std::expected<T, Error>;

template <class... Args>
std::unexpected<Error> fail(int errnum, fmt::format_string<Args...> format, Args &&...args)
{
    return std::unexpected(Error(errnum, format, std::forward<Args>(args)...));
}

// The value, or its Error thrown.
template <class T>
T value_or_throw(Expected<T> &&expected)
{
    if (!expected)
        throw std::move(expected.error());
    return std::move(*expected);
}

// The system's text for errnum ("No such file or directory").
std::string errno_text(int errnum);

[[noreturn]] void assertion_failed(const char *expression, const char *file, int line);

} // namespace flux

// An invariant of our own code; stays on in release builds.
#define FLUX_ASSERT(expression)                                                                                   \
    ((expression) ? void(0) : ::flux::assertion_failed(#expression, __FILE__, __LINE__))
