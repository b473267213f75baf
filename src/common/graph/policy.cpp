#include "common/graph/policy.hpp"

#include <array>

namespace flux::graph {

namespace {

using Order = Policy::Order;

struct Named {
    std::string_view name;
    Policy policy;
};

constexpr std::array<Named, 11> named {{
    {"first", {Order::high, true, false, true, false}},
    {"firstnodex", {Order::high, true, true, true, false}},
    {"high", {Order::high, false, false, false, false}},
    {"low", {Order::low, false, false, false, false}},
    {"hinode", {Order::high, true, false, false, false}},
    {"lonode", {Order::low, true, false, false, false}},
    {"hinodex", {Order::high, true, true, false, false}},
    {"lonodex", {Order::low, true, true, false, false}},
    {"locality", {Order::locality, false, false, false, false}},
    {"variation", {Order::variation, false, false, false, false}},
    {"compact", {Order::low, true, false, false, true}},
}};

} // namespace

Expected<Policy> Policy::parse(std::string_view text)
{
    for (const auto &one : named)
        if (one.name == text)
            return one.policy;
    if (text.find('=') == text.npos)
        return fail(
            EINVAL,
            "match policy \"{}\": expected first, firstnodex, high, low, hinode, lonode, hinodex, lonodex, "
            "locality, variation, compact or \"policy=low node_centric=true ...\"",
            text.substr(0, 60));
    Policy out {Order::high, false, false, false, false};
    while (!text.empty()) {
        std::string_view word = text.substr(0, text.find(' '));
        text.remove_prefix(std::min(text.size(), word.size() + 1));
        if (word.empty())
            continue;
        std::string_view key = word.substr(0, word.find('='));
        std::string_view value = word.substr(std::min(word.size(), key.size() + 1));
        bool *flag = key == "node_centric"                                          ? &out.node_centric
                     : key == "node_exclusive"                                      ? &out.node_exclusive
                     : key == "stop_on_1_matches" || key == "set_stop_on_1_matches" ? &out.first_match
                     : key == "compact"                                             ? &out.compact
                                                                                    : nullptr;
        if (key == "policy" && (value == "low" || value == "high"))
            out.order = value == "low" ? Order::low : Order::high;
        else if (flag && (value == "true" || value == "false"))
            *flag = value == "true";
        else
            return fail(
                EINVAL,
                "match policy: \"{}\" is not understood; known are policy={{low,high}} and node_centric, "
                "node_exclusive, stop_on_1_matches, compact ={{true,false}}",
                word.substr(0, 60));
    }
    return out;
}

} // namespace flux::graph
