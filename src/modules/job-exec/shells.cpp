// One rank's shells: processes that talk JSON lines on their channel.
#include <unistd.h>

#include <csignal>

#include "modules/job-exec/job_exec.hpp"

namespace flux {

namespace {
constexpr const char *channel = "FLUX_SHELL_CHANNEL";
constexpr size_t max_line = 64u << 20;
} // namespace

void JobExec::launch(Request request)
{
    request.require_streaming();
    JobId id(request.get<uint64_t>("id"));
    if (shells_.contains(id))
        throw Error(EEXIST, "job {} has a shell here already", id);
    std::string uri = context().attribute("local-uri").value_or("");
    ProcessSpec spec;
    spec.argv = {context().attribute("conf.shell_path").value_or("flux-shell"), id.f58(F58Prefix::ascii)};
    for (char **entry = environ; entry && *entry; ++entry)
        if (!std::string_view(*entry).starts_with("FLUX_URI="))
            spec.environment.push_back(*entry);
    spec.environment.push_back("FLUX_URI=" + uri);
    spec.capture_output = false;
    spec.channels = {channel};
    Json job = request.json().shallow_copy();
    job.set("type", "job");
    job.set("rank", rank());
    job.set("uri", uri);
    ProcessCallbacks callbacks;
    callbacks.on_output = [this, id](std::string_view stream, std::string_view bytes) {
        if (stream == channel)
            read_channel(id, bytes);
    };
    callbacks.on_exit = [this, id](int status) {
        auto found = shells_.find(id);
        if (found == shells_.end())
            return;
        found->second.request.respond(Json {{"type", "exit"}, {"status", status}});
        found->second.request.finish();
        post([this, id] { shells_.erase(id); });
    };
    auto process = context().platform().spawner->spawn(std::move(spec), std::move(callbacks));
    process->write(channel, job.dump() + "\n");
    request.respond(Json {{"type", "started"}, {"pid", process->pid()}});
    shells_.emplace(id, Shell {std::move(request), std::move(process), {}});
}

void JobExec::read_channel(JobId id, std::string_view bytes)
{
    auto found = shells_.find(id);
    if (found == shells_.end())
        return;
    auto &shell = found->second;
    shell.partial += bytes;
    size_t begin = 0;
    for (size_t end; (end = shell.partial.find('\n', begin)) != std::string::npos; begin = end + 1) {
        auto message = Json::parse(std::string_view(shell.partial).substr(begin, end - begin));
        if (message && message->is_object())
            shell.request.respond(*message);
        else
            log(LogLevel::err, "{}: the shell said something that is no JSON object", id);
    }
    shell.partial.erase(0, begin);
    if (shell.partial.size() > max_line) {
        log(LogLevel::err, "{}: the shell's line is over {} bytes long", id, max_line);
        shell.partial.clear();
        shell.process->signal(SIGKILL);
    }
}

Json JobExec::to_shell(Request &request)
{
    JobId id(request.get<uint64_t>("id"));
    auto found = shells_.find(id);
    if (found == shells_.end())
        throw Error(ENOENT, "job {} has no shell on rank {}", id, rank());
    found->second.process->write(channel, request.get<Json>("message").dump() + "\n");
    return {};
}

} // namespace flux
