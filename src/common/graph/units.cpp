#include "common/graph/units.hpp"

#include <numeric>

namespace flux::graph {

namespace {

struct Unit {
    int64_t factor;
    std::string_view base;
};

std::optional<Unit> parse_unit(std::string_view text)
{
    constexpr std::string_view letters = "kMGTP";
    constexpr std::string_view bases[] = {"B", "W", "Hz", "b/s", "B/s"};
    auto known = [&](std::string_view base) {
        for (auto one : bases)
            if (one == base)
                return true;
        return false;
    };
    if (known(text))
        return Unit {1, text};
    if (text.empty())
        return std::nullopt;
    size_t power = letters.find(text[0] == 'K' ? 'k' : text[0]);
    if (power == letters.npos)
        return std::nullopt;
    text.remove_prefix(1);
    int64_t step = 1000;
    if (text.starts_with('i')) {
        text.remove_prefix(1);
        step = 1024;
    }
    if (!known(text))
        return std::nullopt;
    int64_t factor = 1;
    for (size_t i = 0; i <= power; i++)
        factor *= step;
    return Unit {factor, text};
}

} // namespace

std::optional<UnitRatio> unit_ratio(std::string_view vertex_unit, std::string_view request_unit)
{
    if (vertex_unit == request_unit || vertex_unit.empty() || request_unit.empty())
        return UnitRatio {};
    auto from = parse_unit(vertex_unit);
    auto to = parse_unit(request_unit);
    if (!from || !to || from->base != to->base)
        return std::nullopt;
    int64_t common = std::gcd(from->factor, to->factor);
    return UnitRatio {from->factor / common, to->factor / common};
}

} // namespace flux::graph
