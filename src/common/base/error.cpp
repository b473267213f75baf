#include "common/base/error.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace flux {

std::string errno_text(int errnum)
{
    char buffer[128];
    return strerror_r(errnum, buffer, sizeof buffer);
}

Error::Error(int errnum) : std::runtime_error(errno_text(errnum)), errnum_(errnum) {}

void assertion_failed(const char *expression, const char *file, int line)
{
    std::fprintf(stderr, "flux: internal error: assertion '%s' failed at %s:%d\n", expression, file, line);
    std::abort();
}

} // namespace flux
