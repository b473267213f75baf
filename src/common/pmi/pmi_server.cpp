#include "common/pmi/pmi_server.hpp"

namespace flux {

using pmi::Line;

void PmiServer::receive(std::string_view bytes)
{
    input_.append(bytes);
    while (!broken_) {
        auto text = input_.next();
        if (!text)
            return violation(text.error());
        if (!*text)
            return;
        if (in_spawn_ || (*text)->starts_with("mcmd=")) {
            handle_spawn(**text);
            continue;
        }
        auto line = Line::parse(**text);
        if (!line)
            return violation(line.error());
        handle(*line);
    }
}

void PmiServer::barrier_complete(bool success)
{
    if (!in_barrier_ || broken_)
        return;
    in_barrier_ = false;
    reply(Line("barrier_out").add("rc", success ? 0 : -1));
}

void PmiServer::handle(const Line &line)
{
    auto command = line.get("cmd");
    if (command == "init")
        return init(line);
    if (command == "abort") { // the one command that may come at any time and has no answer
        auto message = line.find("msg");
        return callbacks_.abort(int(line.find_int("exitcode").value_or(1)), message.value_or("PMI_Abort"));
    }
    if (!initialized_)
        return violation(Error(EPROTO, "PMI: task {} sent \"{}\" before init", options_.rank, command));
    if (in_barrier_)
        return violation(Error(EPROTO, "PMI: task {} sent \"{}\" inside a barrier", options_.rank, command));
    handle_ready(command, line);
}

void PmiServer::handle_ready(std::string_view command, const Line &line)
{
    if (command == "get")
        return get(line);
    if (command == "put")
        return put(line);
    if (command == "barrier_in") {
        in_barrier_ = true;
        return callbacks_.barrier();
    }
    if (command == "get_maxes")
        return reply(Line("maxes")
                         .add("rc", 0)
                         .add("kvsname_max", pmi::max_kvsname)
                         .add("keylen_max", pmi::max_key)
                         .add("vallen_max", pmi::max_value));
    if (command == "get_my_kvsname")
        return reply(Line("my_kvsname").add("rc", 0).add("kvsname", options_.kvsname));
    if (command == "get_universe_size")
        return reply(Line("universe_size")
                         .add("rc", 0)
                         .add("size", options_.universe_size ? options_.universe_size : options_.size));
    if (command == "get_appnum")
        return reply(Line("appnum").add("rc", 0).add("appnum", options_.appnum));
    if (command == "finalize") {
        finalized_ = true;
        return reply(Line("finalize_ack").add("rc", 0));
    }
    if (command == "publish_name")
        return reply(Line("publish_result").add("rc", -1).add("msg", "publishing names is not supported"));
    if (command == "unpublish_name")
        return reply(Line("unpublish_result").add("rc", -1).add("msg", "publishing names is not supported"));
    if (command == "lookup_name")
        return reply(Line("lookup_result").add("rc", -1).add("msg", "publishing names is not supported"));
    violation(Error(EPROTO, "PMI: task {} sent the unknown command \"{}\"", options_.rank, command));
}

// Dynamic processes are refused, in the protocol's own way: the whole request is read, then answered with an
// error.
void PmiServer::handle_spawn(std::string_view text)
{
    if (!initialized_ || in_barrier_)
        return violation(
            Error(EPROTO, "PMI: task {} sent a spawn before init or inside a barrier", options_.rank));
    in_spawn_ = !text.starts_with("endcmd");
    if (!in_spawn_)
        reply(Line("spawn_result").add("rc", -1));
}

void PmiServer::init(const Line &line)
{
    auto version = line.find_int("pmi_version");
    if (!version || initialized_)
        return violation(
            Error(EPROTO, "PMI: task {} sent a second init, or one without a version", options_.rank));
    if (*version < 1)
        return reply(Line("response_to_init").add("rc", -1));
    initialized_ = true;
    reply(Line("response_to_init").add("rc", 0).add("pmi_version", 1).add("pmi_subversion", 1));
}

void PmiServer::put(const Line &line)
{
    auto key = line.get("key"), value = line.get("value");
    bool ok = line.get("kvsname") == options_.kvsname && pmi::valid_key(key) && line.find("value") &&
              pmi::valid_value(value) && callbacks_.put(key, value);
    reply(Line("put_result").add("rc", ok ? 0 : -1));
}

void PmiServer::get(const Line &line)
{
    auto key = line.get("key");
    std::optional<std::string> value;
    if (line.get("kvsname") == options_.kvsname && pmi::valid_key(key))
        value = callbacks_.get(key);
    if (value)
        return reply(Line("get_result").add("rc", 0).add("value", *value));
    reply(Line("get_result").add("rc", -1));
}

void PmiServer::violation(const Error &error)
{
    if (broken_)
        return;
    broken_ = true;
    callbacks_.protocol_error(error);
}

} // namespace flux
