#include "common/types/taskmap_scheme.hpp"

#include <charconv>

#include "common/base/quote.hpp"

namespace flux {

namespace {

Expected<uint32_t> parse_stride(const std::string &value)
{
    uint32_t stride = 1;
    auto [end, errc] = std::from_chars(value.data(), value.data() + value.size(), stride);
    if (!value.empty() && (errc != std::errc() || end != value.data() + value.size() || !stride))
        return fail(EINVAL, "cyclic:{}: the stride must be a positive number", quoted(value, 80));
    return stride;
}

} // namespace

Expected<TaskmapScheme> TaskmapScheme::parse(std::string_view scheme, const std::string &value)
{
    TaskmapScheme out;
    if (scheme == "block") {
        if (!value.empty())
            return fail(EINVAL, "block:{}: block takes no value", quoted(value, 80));
    } else if (scheme == "cyclic") {
        auto stride = parse_stride(value);
        if (!stride)
            return std::unexpected(stride.error());
        out.kind = Kind::cyclic;
        out.stride = *stride;
    } else if (scheme == "manual") {
        auto map = Taskmap::parse(value);
        if (!map)
            return fail(EINVAL, "manual: {}", map.error().text());
        out.kind = Kind::manual;
        out.map = std::move(*map);
    } else if (scheme == "hostfile") {
        if (value.empty())
            return fail(EINVAL, "hostfile: which file? (hostfile:FILE)");
        out.kind = Kind::hostfile;
        out.path = value;
    } else {
        return fail(EINVAL, "\"{}\" is none of block, cyclic, hostfile and manual", quoted(scheme, 80));
    }
    return out;
}

} // namespace flux
