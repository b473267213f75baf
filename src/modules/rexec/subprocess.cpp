#include "modules/rexec/subprocess.hpp"

#include <csignal>
#include <unistd.h>

#include "common/base/encoding.hpp"

namespace flux {

namespace {

// opts: {"stdin_BUFSIZE": "65536"} and the same for auxiliary channels.
size_t buffer_size(const Json &command, const std::string &channel)
{
    auto text = command["opts"].find<std::string>(channel + "_BUFSIZE");
    if (!text)
        return Subprocess::default_input_buffer;
    char *end = nullptr;
    unsigned long size = std::strtoul(text->c_str(), &end, 10);
    if (text->empty() || *end || size == 0 || size > Subprocess::default_input_buffer)
        throw Error(EINVAL, "{}_BUFSIZE is \"{}\": expected 1 to {} bytes", channel, *text,
                    Subprocess::default_input_buffer);
    return size;
}

std::vector<std::string> environment_of(const Json &command, const std::string &local_uri)
{
    std::vector<std::string> out;
    for (auto [name, value] : command.get<Json>("env").members())
        if (name != "FLUX_URI")
            out.push_back(fmt::format("{}={}", name, value.as<std::string>()));
    out.push_back("FLUX_URI=" + local_uri); // the broker it runs under, not the one it was asked from
    return out;
}

} // namespace

Subprocess::Subprocess(Request request, uint32_t rank, Hooks hooks)
    : rank_(rank), hooks_(std::move(hooks)), command_(request.get<Json>("cmd")),
      label_(command_.value<std::string>("label", "")), flags_(request.get<int>("flags")),
      local_flags_(request.find<int>("local_flags").value_or(0)), background_(!request.is_streaming()),
      waitable_(flags_ & rexec_flag::waitable)
{
    if (command_.get<std::vector<std::string>>("cmdline").empty())
        throw Error(EPROTO, "cmd.cmdline is empty: it needs at least the program to run");
    if (command_.contains("label") && label_.empty())
        throw Error(EPROTO, "cmd.label is empty: leave it out, or give it a name");
    if (background_ && (flags_ & rexec_flag::write_credit))
        throw Error(EINVAL, "write-credit needs a streaming request: a background process has no input");
    if (background_ && (local_flags_ & rexec_local_flag::stdio_fallthrough))
        throw Error(EINVAL, "stdio-fallthrough needs a streaming request");
    if (auto id = command_["opts"].find<std::string>("jobid")) {
        auto parsed = JobId::parse(*id);
        if (!parsed)
            throw Error(EINVAL, "cmd.opts.jobid: {}", parsed.error().text());
        job_ = *parsed;
    }
    channels_ = command_.value<std::vector<std::string>>("channels", {});
    if (!command_.value<Json>("msgchans", Json::array()).empty())
        throw Error(ENOTSUP, "this server has no message channels (cmd.msgchans)");
    if (!(local_flags_ & rexec_local_flag::stdio_fallthrough)) {
        outputs_["stdout"];
        outputs_["stderr"];
        if (!background_)
            room_["stdin"] = buffer_size(command_, "stdin");
    }
    for (const auto &channel : channels_) {
        if (outputs_.contains(channel) || channel == "stdin" || channel.empty())
            throw Error(EPROTO, "cmd.channels: \"{}\" is no name for a channel, or is there twice", channel);
        outputs_[channel];
        if (!background_)
            room_[channel] = buffer_size(command_, channel);
    }
    listener_ = Listener {std::move(request), flags_};
}

void Subprocess::start(Spawner &spawner, const std::string &local_uri)
{
    bool inherits = local_flags_ & rexec_local_flag::stdio_fallthrough;
    ProcessSpec spec {.argv = command_.get<std::vector<std::string>>("cmdline"),
                      .environment = environment_of(command_, local_uri),
                      .cwd = command_.value<std::string>("cwd", ""),
                      .new_process_group = !(local_flags_ & rexec_local_flag::no_setpgrp),
                      .capture_output = !inherits,
                      .with_stdin = !inherits && !background_,
                      .inherit_stdin = inherits,
                      .channels = channels_};
    ProcessCallbacks callbacks {
        .on_output = [this](std::string_view stream, std::string_view bytes) { on_output(stream, bytes); },
        .on_exit = [this](int wait_status) { on_exit(wait_status); },
        .on_written = [this](std::string_view stream, size_t bytes) { on_written(stream, bytes); },
    };
    process_ = spawner.spawn(std::move(spec), std::move(callbacks));
    pid_ = process_->pid();
    listener_->request.respond(Json {{"type", "started"}, {"pid", pid_}});
    if (background_) {
        listener_.reset();
        for (const auto &channel : channels_)
            process_->close(channel);
        return;
    }
    if (!(flags_ & rexec_flag::write_credit) || room_.empty())
        return;
    Json credit = Json::object();
    for (const auto &[channel, room] : room_)
        credit.set(channel, room);
    listener_->request.respond(Json {{"type", "add-credit"}, {"channels", credit}});
}

std::string Subprocess::command_line() const
{
    return fmt::format("{}", fmt::join(command_.get<std::vector<std::string>>("cmdline"), " "));
}

Json Subprocess::listed() const
{
    return Json {{"pid", pid_}, {"cmd", command_line()}, {"label", label_}, {"state", ended_ ? "Z" : "R"}};
}

bool Subprocess::is_clients(const RouteId &sender, uint32_t matchtag) const
{
    return listener_ && listener_->request.sender() == sender &&
           listener_->request.message().matchtag == matchtag;
}

void Subprocess::write(const Json &io)
{
    auto stream = io.get<std::string>("stream");
    auto room = room_.find(stream);
    if (room == room_.end() || ended_)
        return; // RFC 42: writes to a channel that is not there may be ignored
    std::string data = io.value<std::string>("data", "");
    if (io.value<std::string>("encoding", "UTF-8") == "base64")
        data = value_or_throw(base64_decode(data));
    if (data.size() > room->second) {
        if (listener_)
            listener_->request.fail(Error(ENOBUFS, "{}: {} bytes were written where {} had room", stream,
                                          data.size(), room->second));
        process_->signal(SIGKILL);
        return;
    }
    room->second -= data.size();
    if (!data.empty())
        process_->write(stream, data);
    if (io.value<bool>("eof", false))
        process_->close(stream);
}

void Subprocess::signal(int signum)
{
    if (ended_)
        throw Error(ESRCH, "process {} has exited", pid_);
    process_->signal(signum);
}

void Subprocess::wait(Request request)
{
    if (!waitable_)
        throw Error(EINVAL, "process {} is not waitable: start it with the waitable flag", pid_);
    if (reaped_)
        throw Error(ENOENT, "the status of process {} was given to somebody already", pid_);
    waiters_.push_back(std::move(request));
    if (ended_)
        answer_waiters();
}

void Subprocess::attach(Request request)
{
    request.require_streaming();
    if (!background_)
        throw Error(EBUSY, "process {} runs in the foreground of another client", pid_);
    if (listener_)
        throw Error(EBUSY, "another client is attached to process {}", pid_);
    if (reaped_)
        throw Error(ENOENT, "the status of process {} was given to somebody already", pid_);
    int flags = request.get<int>("flags");
    listener_ = Listener {std::move(request), flags};
    listener_->request.respond(Json {{"type", "attached"}, {"pid", pid_}, {"cmd", command_}});
    for (const auto &[stream, bytes] : retained_)
        tell(stream, bytes);
    for (const auto &[stream, output] : outputs_)
        if (output.ended)
            tell(stream, {});
    if (ended_) {
        reaped_ = true;
        finish_listener();
    }
}

void Subprocess::disconnected(const RouteId &sender)
{
    std::erase_if(waiters_, [&](const Request &waiter) { return waiter.sender() == sender; });
    if (!listener_ || listener_->request.sender() != sender)
        return;
    listener_.reset();
    if (background_)
        return;
    waitable_ = false;
    if (!ended_)
        process_->signal(SIGKILL);
}

void Subprocess::on_output(std::string_view stream, std::string_view bytes)
{
    auto found = outputs_.find(stream);
    if (found == outputs_.end())
        return;
    if (background_) {
        log_lines(stream, bytes);
        retain(stream, bytes);
    }
    found->second.ended |= bytes.empty();
    tell(stream, bytes);
}

int Subprocess::flag_of(std::string_view stream)
{
    return stream == "stdout"   ? rexec_flag::stdout_
           : stream == "stderr" ? rexec_flag::stderr_
                                : rexec_flag::channel;
}

// No bytes: the stream has ended.
void Subprocess::tell(std::string_view stream, std::string_view bytes)
{
    if (listener_ && (listener_->flags & flag_of(stream)))
        listener_->request.respond(
            Json {{"type", "output"}, {"pid", pid_}, {"io", io_object(stream, bytes)}});
}

Json Subprocess::io_object(std::string_view stream, std::string_view bytes) const
{
    Json io {{"stream", stream}, {"rank", fmt::format("{}", rank_)}};
    if (bytes.empty()) {
        io.set("eof", true);
        return io;
    }
    bool has_nul = bytes.find('\0') != std::string_view::npos;
    if (Json text = has_nul ? Json() : Json::steal(json_stringn(bytes.data(), bytes.size())))
        io.set("data", text); // valid UTF-8
    else
        io.set("data", base64_encode(bytes)).set("encoding", "base64");
    return io;
}

void Subprocess::retain(std::string_view stream, std::string_view bytes)
{
    if (bytes.empty())
        return;
    bytes = bytes.substr(bytes.size() > max_retained ? bytes.size() - max_retained : 0);
    retained_.emplace_back(stream, bytes);
    retained_size_ += bytes.size();
    while (retained_size_ > max_retained) {
        retained_size_ -= retained_.front().second.size();
        retained_.pop_front();
    }
}

void Subprocess::log_lines(std::string_view stream, std::string_view bytes)
{
    constexpr size_t max_line = 4096; // longer ones are logged in parts
    std::string &line = outputs_.find(stream)->second.partial_line;
    line += bytes;
    size_t begin = 0;
    for (size_t end; (end = line.find('\n', begin)) != std::string::npos; begin = end + 1)
        hooks_.log(*this, stream, std::string_view(line).substr(begin, end - begin));
    line.erase(0, begin);
    if (!line.empty() && (bytes.empty() || line.size() > max_line))
        hooks_.log(*this, stream, std::exchange(line, {}));
}

void Subprocess::on_written(std::string_view stream, size_t bytes)
{
    auto room = room_.find(stream);
    if (room == room_.end())
        return;
    room->second += bytes;
    if (!listener_ || !(flags_ & rexec_flag::write_credit))
        return;
    Json channels = Json::object();
    channels.set(stream, bytes);
    listener_->request.respond(Json {{"type", "add-credit"}, {"channels", channels}});
}

void Subprocess::on_exit(int wait_status)
{
    ended_ = true;
    wait_status_ = wait_status;
    if (listener_) {
        reaped_ |= background_;
        finish_listener();
    }
    answer_waiters();
    hooks_.ended(*this);
}

void Subprocess::finish_listener()
{
    listener_->request.respond(Json {{"type", "finished"}, {"status", wait_status_}});
    listener_->request.finish();
    listener_.reset();
}

void Subprocess::answer_waiters()
{
    if (waiters_.empty())
        return;
    reaped_ = true;
    Json answer {{"status", wait_status_}};
    Json output = Json::array();
    for (const auto &[stream, bytes] : retained_)
        output.append(io_object(stream, bytes));
    if (!output.empty())
        answer.set("output", output);
    for (auto &waiter : std::exchange(waiters_, {}))
        waiter.respond(answer);
}

} // namespace flux
