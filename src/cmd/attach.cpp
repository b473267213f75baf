#include "cmd/attach.hpp"

#include <csignal>
#include <cstdlib>
#include <deque>
#include <unistd.h>

#include "cmd/attach_status.hpp"
#include "cmd/attach_terminal.hpp"
#include "cmd/eventlog_view.hpp"
#include "cmd/print.hpp"
#include "cmd/terminal.hpp"
#include "common/base/encoding.hpp"
#include "common/runtime/sync.hpp"
#include "common/types/idset.hpp"

namespace flux::cmd {

namespace {

constexpr std::string_view exec_prefix = "exec."; // of an event of guest.exec.eventlog
constexpr int stdin_window = 16;                  // of those that are not answered, then no more is read

class Attachment {
public:
    Attachment(Session &flux, JobId id, AttachOptions options)
        : flux_(flux), handle_(flux.handle()), id_(id), options_(std::move(options)),
          view_(EventView::Form::text), status_(handle_.loop(), id, options_), changed_(handle_.loop()),
          gate_(handle_.loop(), [this](const Error &error) { background_failed(error); })
    {
    }

    Task<JobEnd> run()
    {
        if (options_.forward_signals)
            watch_signals();
        gate_.spawn(follow_main());
        while (!detached_ && !wait_seen_ && !(over_ && background_ == 0))
            co_await changed_.wait();
        status_.clear();
        if (failure_)
            throw *failure_;
        show_tail();
        std::fflush(options_.out);
        co_return end_;
    }

private:
    Task<> follow_main()
    {
        try {
            co_await follow_log(handle_, id_, "eventlog", [&](const Event &event) {
                on_event(event);
                look_for(event.name);
                return !wait_seen_ && !(options_.wait_event.empty() && event.name == "finish");
            });
        } catch (const Error &error) {
            failure_ = error;
        }
        over_ = true;
        changed_.notify_all();
    }

    void on_event(const Event &event)
    {
        record_end(end_, event);
        status_.on_event(event);
        if (options_.on_event)
            options_.on_event(event);
        if (options_.show_events)
            std::fputs(view_.line(event).c_str(), stderr);
        else if (event.name == "exception") {
            make_way();
            std::string note = event.context.value<std::string>("note", "");
            warn("{}: job.exception {}{}{}", id_text(id_),
                 context_text(Event {0, "", without_note(event.context)}), note.empty() ? "" : " ", note);
        }
        if (event.name == "start" && (options_.with_output || options_.wait_event.starts_with(exec_prefix)))
            start(follow_exec());
        if (event.name == "finish")
            stdin_watch_.reset();
    }

    void look_for(std::string_view event)
    {
        if (wait_seen_ || options_.wait_event.empty() || event != options_.wait_event)
            return;
        wait_seen_ = true;
        changed_.notify_all();
    }

    void make_way()
    {
        status_.clear();
        if (options_.before_output)
            options_.before_output();
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
            look_for(std::string(exec_prefix) + event.name);
            if (event.name == "shell.init" && options_.with_output) {
                leader_ = event.context.value<uint32_t>("leader-rank", 0);
                service_ = event.context.value<std::string>("service", "");
                if (event.context.contains("pty"))
                    start(follow_terminal());
                else
                    start_stdin();
                start(follow_output());
            }
            return !wait_seen_ || options_.with_output;
        });
    }

    // While it is there; what was captured of it as well need not be shown a second time then.
    Task<> follow_terminal()
    {
        terminal_ = true;
        make_way();
        bool joined = co_await attach_terminal(flux_, service_, leader_, options_.with_stdin);
        terminal_ = joined;
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
        make_way();
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
        if (terminal_ && stream == "stdout" && context.value<std::string>("rank", "") == "0")
            return;
        FILE *file = stream == "stderr" ? options_.err : options_.out;
        int64_t copies = std::max<int64_t>(1, context.value<int64_t>("repeat", 1));
        for (int64_t i = 0; i < copies; i++)
            show_lines(file, context.value<std::string>("rank", "?"), data);
        std::fflush(file);
    }

    void show_lines(FILE *file, const std::string &rank, std::string_view data)
    {
        if (!options_.label && !options_.tail) {
            std::fwrite(data.data(), 1, data.size(), file);
            return;
        }
        while (!data.empty()) {
            size_t end = std::min(data.find('\n'), data.size() - 1);
            std::string line = options_.label ? fmt::format("{}: {}", rank, data.substr(0, end + 1))
                                              : std::string(data.substr(0, end + 1));
            data.remove_prefix(end + 1);
            if (!options_.tail) {
                std::fwrite(line.data(), 1, line.size(), file);
                continue;
            }
            tail_.emplace_back(file, std::move(line));
            if (int64_t(tail_.size()) > options_.tail)
                tail_.pop_front();
        }
    }

    void show_tail()
    {
        for (const auto &[file, line] : tail_)
            std::fwrite(line.data(), 1, line.size(), file);
    }

    void watch_signals()
    {
        auto watch = [&](int signum, auto fn) {
            signals_.push_back(flux_.loop().watch_signal(signum, fn));
        };
        for (int signum : {SIGTERM, SIGHUP, SIGALRM, SIGUSR1, SIGUSR2})
            watch(signum, [this](int number) { gate_.spawn(forward(number)); });
        watch(SIGINT, [this](int) { interrupted(); });
        watch(SIGTSTP, [this](int) { stopped(); });
    }

    // A job that does not run cannot be sent any.
    Task<> forward(int number)
    {
        Json request {{"id", id_.value()}, {"signum", number}};
        try {
            co_await handle_.rpc("job-manager.kill", request);
        } catch (const Error &error) {
            status_.clear();
            warn("flux-job: {}: signal {} is not passed on: {}; flux cancel ends it", id_text(id_), number,
                 error.text());
        }
    }

    void interrupted()
    {
        status_.clear();
        if (interrupts_.again(handle_.loop().now())) {
            warn("flux-job: canceling {}", id_text(id_));
            handle_.notify("job-manager.raise", Json {{"id", id_.value()},
                                                      {"type", "cancel"},
                                                      {"severity", 0},
                                                      {"note", "interrupted by ctrl-C"}});
            return;
        }
        warn("flux-job: one more ctrl-C within 2s cancels {}, ctrl-Z detaches", id_text(id_));
    }

    void stopped()
    {
        if (!interrupts_.just_now(handle_.loop().now())) {
            ::kill(::getpid(), SIGSTOP);
            return;
        }
        warn("flux-job: detached from {}; flux job attach {} comes back", id_text(id_), id_text(id_));
        detached_ = true;
        changed_.notify_all();
    }

    void start_stdin()
    {
        if (!options_.with_stdin || service_.empty() || !may_read_terminal())
            return;
        if (options_.stdin_ranks != "all")
            start(close_other_stdin());
        stdin_watch_ =
            handle_.loop().watch_fd(STDIN_FILENO, true, false, [this](bool, bool) { read_input(); });
    }

    // Tasks that get nothing of what is typed see the end at once.
    Task<> close_other_stdin()
    {
        auto chosen = value_or_throw(Idset::parse(options_.stdin_ranks));
        Json attributes = Json::array_of(std::vector<std::string> {"ntasks"});
        Json request {{"id", id_.value()}, {"attrs", attributes}};
        Message answer = co_await handle_.rpc("job-list.list-id", request);
        Idset others = Idset::iota(answer.json().get<Json>("job").get<uint32_t>("ntasks")) - chosen;
        if (others.empty())
            co_return;
        Json io {{"stream", "stdin"}, {"rank", others.format()}, {"eof", true}};
        RpcOptions leader {.nodeid = leader_};
        handle_.notify(service_ + ".stdin", io, leader);
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
            stdin_over_ = true;
        }
        stdin_unanswered_++;
        watch_stdin();
        gate_.spawn(send_input(io));
    }

    void watch_stdin()
    {
        if (stdin_watch_)
            stdin_watch_->set(!stdin_over_ && stdin_unanswered_ < stdin_window, false);
    }

    // Answered when it is stored and the tasks have read it: only then is room for more.
    Task<> send_input(Json io)
    {
        RpcOptions leader {.nodeid = leader_};
        try {
            co_await handle_.rpc(service_ + ".stdin", io, leader);
        } catch (const Error &) { // the job has ended, or is about to and says why
            stdin_over_ = true;
        }
        stdin_unanswered_--;
        watch_stdin();
    }

    Session &flux_;
    Handle &handle_;
    JobId id_;
    AttachOptions options_;
    EventView view_;
    AttachStatus status_;
    JobEnd end_;
    Json encoding_;
    double first_output_ = 0;
    std::string service_;
    uint32_t leader_ = 0;
    int background_ = 0;
    bool over_ = false;      // the main log was followed as far as wanted
    bool wait_seen_ = false; // the event that was waited for
    bool detached_ = false;
    bool terminal_ = false; // ours is joined to the job's
    Interrupts interrupts_;
    std::optional<Error> failure_;
    std::deque<std::pair<FILE *, std::string>> tail_;
    std::vector<std::shared_ptr<EvLoop::SignalWatch>> signals_;
    std::unique_ptr<Loop::FdWatch> stdin_watch_;
    int stdin_unanswered_ = 0;
    bool stdin_over_ = false; // its end was read, or nobody takes it any more
    Condition changed_;
    Gate gate_;
};

} // namespace

Task<JobEnd> attach_job(Session &flux, JobId id, AttachOptions options)
{
    Attachment attachment(flux, id, std::move(options));
    co_return co_await attachment.run();
}

} // namespace flux::cmd
