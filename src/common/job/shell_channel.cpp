#include "common/job/shell_channel.hpp"

#include "common/base/encoding.hpp"
#include "common/base/quote.hpp"

namespace flux::shell_channel {

namespace {

std::string line_of(const Json &json)
{
    auto line = json.dump();
    line += '\n';
    return line;
}

void set_data(Json &json, const std::string &data, bool eof)
{
    if (!data.empty()) {
        bool text = is_text(data);
        if (!text)
            json.set("encoding", "base64");
        json.set("data", text ? data : base64_encode(data));
    }
    if (eof)
        json.set("eof", true);
}

std::string get_data(const Json &json)
{
    auto data = json.value<std::string>("data", {});
    auto encoding = json.value<std::string>("encoding", "UTF-8");
    if (encoding == "base64")
        return value_or_throw(base64_decode(data));
    if (encoding != "UTF-8")
        throw Error(EPROTO, "the encoding is \"{}\": expected UTF-8 or base64", encoding);
    return data;
}

Json object_at(const Json &json, std::string_view key)
{
    auto value = json.get<Json>(key);
    if (!value.is_object())
        throw Error(EPROTO, "{}: expected an object, found {}", key, value.type_name());
    return value;
}

Json to_json(const Start &start)
{
    return Json {{"type", "job"},
                 {"id", start.id.value()},
                 {"userid", start.userid},
                 {"rank", start.rank},
                 {"nodeid", start.nodeid},
                 {"nnodes", start.nnodes},
                 {"leader", start.nodeid == 0},
                 {"leader_rank", start.leader_rank},
                 {"hostlist", start.hostlist},
                 {"uri", start.uri},
                 {"service", start.service},
                 {"tmpdir", start.tmpdir},
                 {"enclosing_id", start.enclosing_id},
                 {"jobid_path", start.jobid_path},
                 {"R", start.R},
                 {"jobspec", start.jobspec},
                 {"environment", start.environment}};
}
Json to_json(const Signal &message)
{
    return Json {{"type", "signal"}, {"signum", message.signum}};
}
Json to_json(const Stdin &message)
{
    Json json {{"type", "stdin"}, {"ranks", message.ranks}};
    set_data(json, message.data, message.eof);
    return json;
}
Json to_json(const TerminalInput &message)
{
    Json json {{"type", "terminal"}};
    set_data(json, message.data, false);
    if (message.rows && message.columns)
        json.set("rows", message.rows).set("columns", message.columns);
    if (message.taken)
        json.set("taken", message.taken);
    return json;
}
Json to_json(const TerminalOutput &message)
{
    Json json {{"type", "terminal"}};
    set_data(json, message.data, false);
    return json;
}
Json to_json(const PmiExchangeResult &message)
{
    return Json {{"type", "pmi-exchange-result"}, {"seq", message.seq}, {"pairs", message.pairs}};
}
Json to_json(const Shutdown &)
{
    return Json {{"type", "shutdown"}};
}
Json to_json(const Expiration &message)
{
    return Json {{"type", "expiration"}, {"expiration", message.expiration}};
}
Json to_json(const Topology &message)
{
    return Json {{"type", "topology"}, {"xml", message.xml}, {"error", valid_utf8(message.error)}};
}
Json to_json(const TopologyRequest &message)
{
    return Json {{"type", "topology"}, {"cores", message.cores}};
}
Json to_json(const Tasks &message)
{
    Json json {{"type", "tasks"}, {"pids", Json::array_of(message.pids)}, {"groups", message.groups}};
    if (!message.helpers.empty())
        json.set("helpers", Json::array_of(message.helpers));
    return json;
}
Json to_json(const Event &message)
{
    return Json {{"type", "event"}, {"name", message.name}, {"context", message.context}};
}
Json to_json(const Output &message)
{
    Json json {{"type", "output"}, {"stream", message.stream}, {"rank", message.rank}};
    set_data(json, message.data, message.eof);
    return json;
}
Json to_json(const Redirect &message)
{
    return Json {{"type", "redirect"},
                 {"stream", message.stream},
                 {"ranks", message.ranks},
                 {"path", valid_utf8(message.path)}};
}
Json to_json(const PmiExchange &message)
{
    return Json {{"type", "pmi-exchange"}, {"seq", message.seq}, {"pairs", message.pairs}};
}
Json to_json(const Log &message)
{
    return Json {{"type", "log"},
                 {"level", message.level},
                 {"text", valid_utf8(message.text)},
                 {"nodeid", message.nodeid}};
}
Json to_json(const Exception &message)
{
    return Json {{"type", "exception"},
                 {"severity", message.severity},
                 {"exception", message.type},
                 {"note", valid_utf8(message.note)},
                 {"lost_task", message.lost_task ? Json(true) : Json()}};
}
Json to_json(const StdinTaken &message)
{
    return Json {{"type", "stdin-taken"}, {"count", message.count}};
}
Json to_json(const Finish &message)
{
    return Json {{"type", "finish"}, {"status", message.status}, {"ready", message.ready}};
}

Start start_from(const Json &json)
{
    Start start {.id = JobId(json.get<uint64_t>("id")),
                 .userid = json.get<uint32_t>("userid"),
                 .jobspec = object_at(json, "jobspec"),
                 .environment = json["environment"],
                 .R = object_at(json, "R"),
                 .rank = json.get<uint32_t>("rank"),
                 .nodeid = json.get<uint32_t>("nodeid"),
                 .nnodes = json.get<uint32_t>("nnodes"),
                 .leader_rank = json.value<uint32_t>("leader_rank", 0),
                 .hostlist = json.value<std::string>("hostlist", {}),
                 .uri = json.value<std::string>("uri", {}),
                 .service = json.value<std::string>("service", {}),
                 .tmpdir = json.value<std::string>("tmpdir", {}),
                 .enclosing_id = json.value<std::string>("enclosing_id", {}),
                 .jobid_path = json.value<std::string>("jobid_path", {})};
    if (start.nodeid >= start.nnodes)
        throw Error(EPROTO, "nodeid is {}, but nnodes is {}", start.nodeid, start.nnodes);
    return start;
}

ToShell to_shell(const Json &json)
{
    auto type = json.get<std::string>("type");
    if (type == "job")
        return start_from(json);
    if (type == "signal")
        return Signal {json.get<int>("signum")};
    if (type == "stdin")
        return Stdin {json.value<std::string>("ranks", "all"), get_data(json),
                      json.value<bool>("eof", false)};
    if (type == "pmi-exchange-result")
        return PmiExchangeResult {json.get<uint64_t>("seq"), object_at(json, "pairs")};
    if (type == "shutdown")
        return Shutdown {};
    if (type == "terminal")
        return TerminalInput {get_data(json), json.value<uint16_t>("rows", 0),
                              json.value<uint16_t>("columns", 0), json.value<uint64_t>("taken", 0)};
    if (type == "topology")
        return Topology {json.value<std::string>("xml", {}), json.value<std::string>("error", {})};
    if (type == "expiration")
        return Expiration {json.get<double>("expiration")};
    throw Error(EPROTO, "unknown message type \"{}\"", type);
}

FromShell from_shell(const Json &json)
{
    auto type = json.get<std::string>("type");
    if (type == "event")
        return Event {json.get<std::string>("name"), json.value<Json>("context", {})};
    if (type == "output")
        return Output {json.get<std::string>("stream"), json.get<uint32_t>("rank"), get_data(json),
                       json.value<bool>("eof", false)};
    if (type == "redirect")
        return Redirect {json.get<std::string>("stream"), json.get<std::string>("ranks"),
                         json.get<std::string>("path")};
    if (type == "pmi-exchange")
        return PmiExchange {json.get<uint64_t>("seq"), object_at(json, "pairs")};
    if (type == "log")
        return Log {json.get<int>("level"), json.get<std::string>("text"), json.value<uint32_t>("nodeid", 0)};
    if (type == "exception")
        return Exception {json.get<int>("severity"), json.get<std::string>("exception"),
                          json.value<std::string>("note", {}), json.value<bool>("lost_task", false)};
    if (type == "tasks")
        return Tasks {json.get<std::vector<int>>("pids"), json.value<bool>("groups", true),
                      json.value<std::vector<int>>("helpers", {})};
    if (type == "topology")
        return TopologyRequest {json.value<std::string>("cores", {})};
    if (type == "stdin-taken")
        return StdinTaken {json.get<uint64_t>("count")};
    if (type == "terminal")
        return TerminalOutput {get_data(json)};
    if (type == "finish")
        return Finish {json.get<int>("status"), json.value<bool>("ready", false)};
    throw Error(EPROTO, "unknown message type \"{}\"", type);
}

template <class Message, class Convert>
Expected<Message> parse(std::string_view line, Convert convert)
{
    try {
        return convert(Json::parse_or_throw(line));
    } catch (const Error &error) {
        return fail(EPROTO, "shell channel: {}", error.text());
    }
}

} // namespace

std::string encode(const ToShell &message)
{
    return line_of(std::visit([](const auto &one) { return to_json(one); }, message));
}

std::string encode(const FromShell &message)
{
    return line_of(std::visit([](const auto &one) { return to_json(one); }, message));
}

Expected<ToShell> parse_to_shell(std::string_view line)
{
    return parse<ToShell>(line, to_shell);
}

Expected<FromShell> parse_from_shell(std::string_view line)
{
    return parse<FromShell>(line, from_shell);
}

bool is_text(std::string_view bytes) noexcept
{
    for (size_t i = 0; i < bytes.size();) {
        auto byte = static_cast<unsigned char>(bytes[i]);
        if (byte < 0x80) {
            if (byte == 0)
                return false;
            i++;
            continue;
        }
        size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
        if (byte < 0xc2 || byte > 0xf4 || i + length > bytes.size())
            return false;
        uint32_t code = byte & (0x7f >> length);
        for (size_t k = 1; k < length; k++) {
            auto next = static_cast<unsigned char>(bytes[i + k]);
            if ((next & 0xc0) != 0x80)
                return false;
            code = code << 6 | (next & 0x3f);
        }
        if ((length == 3 && (code < 0x800 || (code >= 0xd800 && code < 0xe000))) ||
            (length == 4 && (code < 0x10000 || code > 0x10ffff)))
            return false;
        i += length;
    }
    return true;
}

} // namespace flux::shell_channel
