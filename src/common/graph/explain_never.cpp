// Why a request can never be satisfied although the machine has enough of everything: no node, socket, ...
// has enough in it.
#include <algorithm>

#include "common/graph/explain_parts.hpp"

namespace flux::graph {

namespace {

class PlaceChecker {
public:
    PlaceChecker(const Graph &graph, const JobRequest &request, const ConstraintCheck &constraint)
        : graph_(graph), constraint_(constraint), condition_(condition(request.constraint))
    {
    }

    std::optional<std::string> check(const std::vector<Request> &list, int64_t times, bool in_host)
    {
        for (const auto &one : list) {
            int64_t count = times_count(times, one);
            bool resource = one.kind == Request::Kind::resource;
            std::optional<std::string> reason;
            if (resource && !one.below.empty())
                reason = check_vertices(one, one.exclusive == false || graph_.pooled(one.type) ? 1 : count);
            else if (one.colocated && !in_host)
                reason = check_slots(one, count);
            if (!reason)
                reason = check(one.with, count, in_host || (resource && graph_.is_host(one.type)));
            if (reason)
                return reason;
        }
        return std::nullopt;
    }

private:
    std::string amounts(const Needs &needs) const
    {
        std::string out;
        for (auto [column, amount] : needs)
            out += fmt::format("{}{}", out.empty() ? "" : " and ",
                               plural(amount, graph_.type_name(graph_.tracked_type(column))));
        return out;
    }

    int64_t below(VertexId v, uint32_t column) const
    {
        return graph_[v].child_count > 0 ? graph_.total(v)[column] : 0;
    }

    // How many vertices of a type have so much below them?
    std::optional<std::string> check_vertices(const Request &one, int64_t count)
    {
        int64_t enough = 0;
        std::vector<int64_t> most(one.below.size());
        for (VertexId v = 0; v < graph_.size(); v++) {
            if (graph_[v].removed || graph_[v].type != one.type || !constraint_.allows_path(graph_, v))
                continue;
            bool all = true;
            for (size_t i = 0; i < most.size(); i++) {
                int64_t here = below(v, one.below[i].first);
                most[i] = std::max(most[i], here);
                all = all && here >= one.below[i].second;
            }
            enough += all;
        }
        if (enough >= count)
            return std::nullopt;
        const std::string &type = graph_.type_name(one.type);
        std::string text = fmt::format("needs {} with {}{}{}: the machine has {}", plural(count, type),
                                       amounts(one.below), count > 1 ? " each" : "", condition_, enough);
        for (size_t i = 0; i < most.size(); i++)
            if (most[i] < one.below[i].second)
                return text + fmt::format(", no {} has more than {}", type,
                                          amounts({{one.below[i].first, most[i]}}));
        return text;
    }

    // For how many slots, each on one node, is there room?
    std::optional<std::string> check_slots(const Request &slot, int64_t count)
    {
        int64_t room = 0, most = 0;
        for (VertexId host : graph_.hosts()) {
            if (!constraint_.allows_path(graph_, host))
                continue;
            int64_t here = count;
            for (auto [column, amount] : slot.below)
                if (amount > 0)
                    here = std::min(here, below(host, column) / amount);
            room += here;
            most = std::max(most, here);
            if (room >= count)
                return std::nullopt;
        }
        return fmt::format(
            "needs {} of {}{}, each on one node: {}", plural(count, "slot"), amounts(slot.below), condition_,
            most == 0 ? "no node has so much" : fmt::format("the machine has room for {}", room));
    }

    const Graph &graph_;
    const ConstraintCheck &constraint_;
    std::string condition_;
};

void collect(const std::vector<Request> &list, int64_t times, bool in_slot, std::vector<Wanted> &out)
{
    for (const auto &one : list) {
        int64_t count = times_count(times, one);
        if (one.kind == Request::Kind::resource)
            out.push_back({&one, count, one.exclusive.value_or(in_slot)});
        collect(one.with, count, in_slot || one.kind != Request::Kind::resource, out);
    }
}

std::string joined(const Json &values, std::string_view separator)
{
    constexpr size_t longest = 80; // bytes
    std::string out;
    for (auto one : values.elements())
        if (out.size() < longest)
            out += fmt::format("{}{}", out.empty() ? "" : separator, one.string_view());
        else if (!out.ends_with("..."))
            out += "...";
    return out;
}

} // namespace

std::vector<Wanted> wanted_by(const std::vector<Request> &list)
{
    std::vector<Wanted> out;
    collect(list, 1, false, out);
    return out;
}

int64_t times_count(int64_t times, const Request &request)
{
    int64_t count;
    auto least = int64_t(std::min<uint64_t>(request.count.min(), Count::max_value));
    return __builtin_mul_overflow(times, least, &count) ? int64_t(Count::max_value) : count;
}

std::string plural(int64_t count, std::string_view word)
{
    return fmt::format("{} {}{}", count, word, count == 1 || word.ends_with("s") ? "" : "s");
}

std::string condition(const Json &constraint)
{
    if (!constraint.is_object() || constraint.empty())
        return "";
    std::string out;
    for (auto [op, values] : constraint.members()) {
        if (op == "properties" && constraint.size() == 1) {
            for (auto one : values.elements()) {
                std::string_view name = one.string_view();
                bool negated = name.starts_with('^');
                out += fmt::format("{}{} {}", out.empty() ? " " : " and ",
                                   negated ? "without property" : "with property", name.substr(negated));
            }
            return out;
        }
        if (op == "hostlist" && constraint.size() == 1)
            return fmt::format(" on host {}", joined(values, ","));
        if (op == "ranks" && constraint.size() == 1)
            return fmt::format(" on rank {}", joined(values, ","));
        if (op == "and" && constraint.size() == 1) {
            for (auto one : values.elements())
                out += fmt::format("{}{}", out.empty() ? "" : " and", condition(one));
            return out;
        }
    }
    return " that satisfy " + constraint.dump();
}

std::optional<std::string> why_never_together(const Graph &graph, const JobRequest &request,
                                              const ConstraintCheck &constraint)
{
    return PlaceChecker(graph, request, constraint).check(request.resources, 1, false);
}

} // namespace flux::graph
