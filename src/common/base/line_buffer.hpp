// LineBuffer: bytes as they arrive, cut into lines.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace flux {

class LineBuffer {
public:
    // For messages, what the lines are: "PMI". max_line: bytes of one without its newline.
    LineBuffer(std::string_view what, size_t max_line) : what_(what), max_line_(max_line) {}
    void append(std::string_view bytes) { bytes_ += bytes; }
    // The next line without its newline; nullopt when none is whole yet. EPROTO when it is too long.
    Expected<std::optional<std::string>> next();

private:
    std::string_view what_;
    size_t max_line_;
    std::string bytes_;
    size_t consumed_ = 0;
    size_t searched_ = 0;
};

} // namespace flux
