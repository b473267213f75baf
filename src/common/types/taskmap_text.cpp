// The spellings of a task map: JSON (RFC 34), PMI_process_mapping (RFC 13), raw and multiline.
#include <charconv>

#include "common/base/quote.hpp"

#include "common/types/taskmap.hpp"

namespace flux {

namespace {

bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

Expected<uint32_t> take_number(std::string_view &text)
{
    while (!text.empty() && is_blank(text.front()))
        text.remove_prefix(1);
    uint32_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc())
        return fail(EINVAL, "taskmap: expected a number at \"{}\"", quoted(text, 20));
    text.remove_prefix(end - text.data());
    return number;
}

bool take(std::string_view &text, char wanted)
{
    while (!text.empty() && is_blank(text.front()))
        text.remove_prefix(1);
    if (!text.starts_with(wanted))
        return false;
    text.remove_prefix(1);
    return true;
}

// "(vector,(0,4,4),...)"
Expected<Taskmap> parse_pmi(std::string_view text)
{
    auto syntax_error = [whole = quoted(text, 60)] {
        return fail(EINVAL, "taskmap \"{}\": expected (vector,(node,nodes,ppn),...)", whole);
    };
    Taskmap out;
    if (!take(text, '('))
        return syntax_error();
    while (!text.empty() && is_blank(text.front()))
        text.remove_prefix(1);
    if (!text.starts_with("vector"))
        return syntax_error();
    text.remove_prefix(6);
    while (take(text, ',')) {
        uint32_t values[3];
        if (!take(text, '('))
            return syntax_error();
        for (int i = 0; i < 3; i++) {
            auto number = take_number(text);
            if (!number || !take(text, i < 2 ? ',' : ')'))
                return syntax_error();
            values[i] = *number;
        }
        if (auto done = out.append(values[0], values[1], values[2]); !done)
            return std::unexpected(done.error());
    }
    if (!take(text, ')') || !text.empty())
        return syntax_error();
    return out;
}

Expected<Taskmap> parse_raw(std::string_view text)
{
    std::vector<Idset> nodes;
    while (true) {
        size_t end = text.find(';');
        auto ids = Idset::parse(text.substr(0, end));
        if (!ids)
            return fail(EINVAL, "taskmap node {}: {}", nodes.size(), ids.error().text());
        nodes.push_back(std::move(*ids));
        if (nodes.size() > Taskmap::max_blocks)
            return fail(EINVAL, "taskmap: more than {} nodes", Taskmap::max_blocks);
        if (end == std::string_view::npos)
            return Taskmap::from_idsets(nodes);
        text.remove_prefix(end + 1);
    }
}

} // namespace

Expected<Taskmap> Taskmap::parse(std::string_view text)
{
    while (!text.empty() && is_blank(text.front()))
        text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back()))
        text.remove_suffix(1);
    if (text.empty())
        return Taskmap();
    // "[0-3]" is an idset in brackets, "[[0,4,4,1]]" and "[]" are JSON.
    size_t second = text.find_first_not_of(" \t\n", 1);
    bool nested = text.starts_with('[') && second != std::string_view::npos &&
                  (text[second] == '[' || text[second] == ']');
    if (nested || text.starts_with('{')) {
        auto json = Json::parse(text);
        if (!json)
            return fail(EINVAL, "taskmap: {}", json.error().text());
        return from_json(*json);
    }
    if (text.starts_with('('))
        return parse_pmi(text);
    return parse_raw(text);
}

Expected<Taskmap> Taskmap::from_json(const Json &value)
{
    Json map = value;
    if (value.is_object()) {
        Json version = value["version"];
        if (!version.is_integer() || json_integer_value(version.raw()) != 1)
            return fail(EINVAL, "taskmap: expected version 1, found {}", version ? version.dump() : "none");
        map = value["map"];
    }
    if (!map.is_array())
        return fail(EINVAL, "taskmap: expected an array of blocks, found {}", map.type_name());
    if (map.size() > max_blocks)
        return fail(EINVAL, "taskmap: more than {} blocks", max_blocks);
    Taskmap out;
    size_t index = 0;
    for (auto block : map.elements()) {
        uint32_t numbers[4];
        if (!block.is_array() || block.size() != 4)
            return fail(EINVAL, "taskmap[{}]: expected [nodeid,nnodes,ppn,repeat]", index);
        for (size_t i = 0; i < 4; i++) {
            auto number = json_integer_value(block[i].raw());
            if (!block[i].is_integer() || number < 0 || uint64_t(number) > max_tasks)
                return fail(EINVAL, "taskmap[{}][{}]: expected an integer from 0 to {}", index, i, max_tasks);
            numbers[i] = uint32_t(number);
        }
        if (auto done = out.append(numbers[0], numbers[1], numbers[2], numbers[3]); !done)
            return std::unexpected(done.error());
        index++;
    }
    return out;
}

Json Taskmap::to_json() const
{
    Json out = Json::array();
    for (const auto &block : blocks_) {
        Json item = Json::array();
        item.append(block.nodeid).append(block.nnodes).append(block.ppn).append(block.repeat);
        out.append(std::move(item));
    }
    return out;
}

Json Taskmap::to_wrapped_json() const
{
    return Json {{"version", 1}, {"map", to_json()}};
}

std::string Taskmap::encode_pmi() const
{
    if (unknown())
        return {};
    std::string out = "(vector";
    for (const auto &block : blocks_)
        for (uint32_t i = 0; i < block.repeat; i++)
            out += fmt::format(",({},{},{})", block.nodeid, block.nnodes, block.ppn);
    return out + ")";
}

std::vector<Idset> Taskmap::idsets() const
{
    std::vector<Idset> out(nnodes_);
    uint32_t task = 0;
    for (const auto &block : blocks_)
        for (uint32_t round = 0; round < block.repeat; round++)
            for (uint32_t node = 0; node < block.nnodes; node++, task += block.ppn)
                out[block.nodeid + node].add(task, task + block.ppn - 1);
    return out;
}

std::string Taskmap::encode_raw() const
{
    std::string out;
    auto nodes = idsets();
    for (size_t node = 0; node < nodes.size(); node++) {
        if (node > 0)
            out += ';';
        out += nodes[node].format();
    }
    return out;
}

std::string Taskmap::encode_multiline() const
{
    fmt::memory_buffer out;
    uint32_t task = 0;
    for (const auto &block : blocks_)
        for (uint32_t round = 0; round < block.repeat; round++)
            for (uint32_t i = 0; i < block.nnodes * block.ppn; i++)
                fmt::format_to(std::back_inserter(out), "{}: {}\n", task++, block.nodeid + i / block.ppn);
    return fmt::to_string(out);
}

} // namespace flux
