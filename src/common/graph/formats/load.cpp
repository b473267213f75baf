#include "common/graph/formats/formats.hpp"
#include "common/graph/readers.hpp"

namespace flux::graph {

namespace {

Expected<Json> parse_graph_json(const std::string &text)
{
    auto json = Json::parse(text);
    if (!json)
        return fail(EINVAL, "{}", json.error().text());
    return json;
}

} // namespace

bool is_load_format(std::string_view format)
{
    for (auto known : {"grug", "hwloc", "jgf", "jgf_shorthand", "rv1exec", "rv1exec_force"})
        if (format == known)
            return true;
    return false;
}

Expected<Graph> load_graph(const std::string &text, std::string_view format,
                           const std::set<std::string> &only)
{
    if (format == "grug")
        return read_grug(text);
    if (format == "hwloc")
        return read_hwloc(text, only);
    if (!is_load_format(format))
        return fail(EINVAL,
                    "graph format \"{}\": expected grug, hwloc, jgf, jgf_shorthand, rv1exec or rv1exec_force",
                    format);
    auto json = parse_graph_json(text);
    if (!json)
        return std::unexpected(json.error());
    if (format.starts_with("jgf"))
        return read_jgf(*json);
    return read_rv1(*json, format == "rv1exec_force");
}

} // namespace flux::graph
