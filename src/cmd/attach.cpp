// Attaching to a job: its events, its output and our standard input, at the same time.
#include <csignal>
#include <unistd.h>

#include "cmd/eventlog_view.hpp"
#include "cmd/job_client.hpp"
#include "cmd/print.hpp"
#include "common/base/encoding.hpp"
#include "common/runtime/sync.hpp"

namespace flux::cmd {

namespace {

constexpr size_t stdin_chunk = 64u << 10; // bytes of one message to the shell

class Attachment {
public:
    Attachment(Handle &handle, JobId id, const AttachOptions &options)
        : handle_(handle), id_(id), options_(options), view_(EventView::Form::text), changed_(handle.loop()),
          gate_(handle.loop(), [this](const Error &error) { background_failed(error); })
    {
    }

    Task<JobEnd> run()
    {
        bool seen = false;
        co_await follow_log(handle_, id_, "eventlog", [&](const Event &event) {
            on_event(event);
            seen = event.name == options_.wait_event;
            return !seen;
        });
        while (!seen && background_ > 0)
            co_await changed_.wait();
        std::fflush(stdout);
        co_return end_;
    }

private:
    void on_event(const Event &event)
    {
        record_end(end_, event);
        if (options_.show_events)
            std::fputs(view_.line(event).c_str(), stderr);
        else if (event.name == "exception")
            warn("{}: job.exception {} {}", id_text(id_),
                 context_text(Event {0, "", without_note(event.context)}),
                 event.context.value<std::string>("note", ""));
        if (event.name == "start" && options_.with_output)
            start(follow_exec());
        if (event.name == "finish")
            stdin_watch_.reset();
    }

    static Json without_note(const Json &context)
    {
        Json out = context.shallow_copy();
        out.erase("note");
        out.erase("userid");
        return out;
    }

    void start(Task<> task)
    {
        background_++;
        gate_.spawn(finish(std::move(task)));
    }

    Task<> finish(Task<> task)
    {
        co_await task;
        background_--;
        changed_.notify_all();
    }

    void background_failed(const Error &error)
    {
        if (error.errnum() != ENOENT && error.errnum() != ENODATA) // no log: the job never got so far
            warn("flux-job: {}: {}", id_text(id_), error.what());
        background_--;
        changed_.notify_all();
    }

    // The shell says with its first event that output can be read, and where input goes.
    Task<> follow_exec()
    {
        co_await follow_log(handle_, id_, "guest.exec.eventlog", [this](const Event &event) {
            if (options_.show_exec)
                std::fputs(view_.line(event).c_str(), stderr);
            if (event.name == "shell.init") {
                leader_ = event.context.value<uint32_t>("leader-rank", 0);
                service_ = event.context.value<std::string>("service", "");
                start(follow_output());
                start_stdin();
            }
            return true;
        });
    }

    Task<> follow_output()
    {
        co_await follow_log(handle_, id_, "guest.output", [this](const Event &event) {
            on_output(event);
            return true;
        });
    }

    void on_output(const Event &event)
    {
        const Json &context = event.context;
        if (event.name == "header") {
            encoding_ = context["encoding"];
        } else if (event.name == "data") {
            show_data(context);
        } else if (event.name == "redirect") {
            warn("{}: {} redirected to {}", id_text(id_), context.value<std::string>("stream", "output"),
                 context.value<std::string>("path", "a file"));
        } else if (event.name == "log") {
            static constexpr const char *levels[] {"FATAL", "FATAL", "FATAL", "ERROR",
                                                   " WARN", " INFO", " INFO", "DEBUG"};
            int level = std::clamp(context.value<int>("level", 6), 0, 7);
            std::string who = context.contains("rank") ? fmt::format("[{}]", context["rank"].dump()) : "";
            std::string part = context.value<std::string>("component", "");
            warn("{:.3f}s: flux-shell{}: {}: {}{}", event.timestamp - first_output_, who, levels[level],
                 part.empty() ? "" : part + ": ", context.value<std::string>("message", ""));
        }
        if (first_output_ == 0)
            first_output_ = event.timestamp;
    }

    void show_data(const Json &context)
    {
        auto text = context.find<std::string>("data");
        if (!text)
            return;
        auto stream = context.get<std::string>("stream");
        std::string encoding =
            context.value<std::string>("encoding", encoding_.value<std::string>(stream, "UTF-8"));
        std::string data = encoding == "base64" ? value_or_throw(base64_decode(*text)) : *text;
        FILE *file = stream == "stderr" ? stderr : stdout;
        int64_t copies = std::max<int64_t>(1, context.value<int64_t>("repeat", 1));
        for (int64_t i = 0; i < copies; i++)
            if (options_.label)
                write_labelled(file, context.value<std::string>("rank", "?"), data);
            else
                std::fwrite(data.data(), 1, data.size(), file);
        std::fflush(file);
    }

    static void write_labelled(FILE *file, const std::string &rank, std::string_view data)
    {
        while (!data.empty()) {
            size_t end = std::min(data.find('\n'), data.size() - 1);
            std::string line = fmt::format("{}: {}", rank, data.substr(0, end + 1));
            std::fwrite(line.data(), 1, line.size(), file);
            data.remove_prefix(end + 1);
        }
    }

    void start_stdin()
    {
        if (!options_.with_stdin || service_.empty())
            return;
        stdin_watch_ =
            handle_.loop().watch_fd(STDIN_FILENO, true, false, [this](bool, bool) { read_input(); });
    }

    void read_input()
    {
        char chunk[stdin_chunk];
        ssize_t n = ::read(STDIN_FILENO, chunk, sizeof(chunk));
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            return;
        Json io {{"stream", "stdin"}, {"rank", options_.stdin_ranks}};
        if (n > 0) {
            io.set("data", base64_encode({chunk, size_t(n)}));
            io.set("encoding", "base64");
        } else {
            io.set("eof", true);
            stdin_watch_->set(false, false);
        }
        handle_.notify(service_ + ".stdin", io, {.nodeid = leader_});
    }

    Handle &handle_;
    JobId id_;
    AttachOptions options_;
    EventView view_;
    JobEnd end_;
    Json encoding_;
    double first_output_ = 0;
    std::string service_;
    uint32_t leader_ = 0;
    int background_ = 0;
    std::unique_ptr<Loop::FdWatch> stdin_watch_;
    Condition changed_;
    Gate gate_;
};

} // namespace

Task<JobEnd> attach_job(Handle &handle, JobId id, const AttachOptions &options)
{
    Attachment attachment(handle, id, options);
    co_return co_await attachment.run();
}

} // namespace flux::cmd
