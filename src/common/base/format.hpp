// fmt, with its core compiled once, in fmt.cpp: format.h alone makes every file that formats anything compile
// all of it again, 80 kB each and most of the file's time.
#pragma once
#include <fmt/format.h>

FMT_BEGIN_NAMESPACE
namespace detail {
extern template void vformat_to(buffer<char> &, string_view, basic_format_args<FMT_BUFFER_CONTEXT(char)>,
                                locale_ref);
} // namespace detail
FMT_END_NAMESPACE
