#include "common/base/line_buffer.hpp"

#include <algorithm>

namespace flux {

Expected<std::optional<std::string>> LineBuffer::next()
{
    auto newline = bytes_.find('\n', std::max(consumed_, searched_));
    bool whole = newline != bytes_.npos;
    size_t size = (whole ? newline : bytes_.size()) - consumed_;
    if (size > max_line_)
        return fail(EPROTO, "{}: a line of more than {} bytes", what_, max_line_);
    if (!whole) {
        bytes_.erase(0, consumed_);
        consumed_ = 0;
        searched_ = bytes_.size();
        return std::nullopt;
    }
    std::string line = bytes_.substr(consumed_, size);
    consumed_ = searched_ = newline + 1;
    return line;
}

} // namespace flux
