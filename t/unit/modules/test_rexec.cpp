// The subprocess server's protocol (RFC 42) against processes that do what the test says.
#include <csignal>
#include <gtest/gtest.h>

#include "common/client/handle.hpp"
#include "common/runtime/sim_loop.hpp"
#include "modules/rexec/subprocess.hpp"

using namespace flux;

namespace {

struct FakeProcess : Process {
    explicit FakeProcess(ProcessSpec spec, ProcessCallbacks callbacks)
        : spec(std::move(spec)), callbacks(std::move(callbacks))
    {
    }
    int pid() const override { return 77; }
    void signal(int signum) override { signals.push_back(signum); }
    void write(std::string_view stream, std::string_view bytes) override
    {
        written[std::string(stream)] += bytes;
    }
    void close(std::string_view stream) override { closed.emplace_back(stream); }
    void set_reading(std::string_view, bool) override {}
    ProcessSpec spec;
    ProcessCallbacks callbacks;
    std::vector<int> signals;
    std::map<std::string, std::string> written;
    std::vector<std::string> closed;
};

struct FakeSpawner : Spawner {
    std::unique_ptr<Process> spawn(ProcessSpec spec, ProcessCallbacks callbacks) override
    {
        if (spec.argv[0] == "missing")
            throw Error(ENOENT, "missing: there is no such program");
        auto process = std::make_unique<FakeProcess>(std::move(spec), std::move(callbacks));
        last = process.get();
        return process;
    }
    FakeProcess *last = nullptr;
};

// One handle that serves, and what it sent.
class Rexec : public testing::Test {
protected:
    Rexec() : handle_(loop_, [this](Message message) { sent_.push_back(std::move(message)); }) {}

    Request request(Json payload, bool streaming, uint32_t matchtag = 1, std::string_view sender = "client")
    {
        Message message = Message::request("rexec.exec", std::move(payload));
        message.matchtag = matchtag;
        message.credentials = {.userid = 0, .rolemask = role::owner};
        if (streaming)
            message.flags |= message_flag::streaming;
        message.route.emplace_back(sender);
        std::optional<Request> out;
        handle_.serve("rexec.exec", role::any,
                      Handle::KeepingHandler([&out](Request received) { out.emplace(std::move(received)); }));
        handle_.receive(std::move(message));
        return std::move(*out);
    }

    static Json exec_request(int flags, Json more = Json::object())
    {
        Json command {{"cmdline", Json::array_of(std::vector<std::string> {"prog", "arg"})},
                      {"env", Json {{"A", "1"}, {"FLUX_URI", "local:///elsewhere"}}},
                      {"opts", Json::object()},
                      {"channels", Json::array()}};
        for (auto [key, value] : more.members())
            command.set(key, value);
        return Json {{"cmd", command}, {"flags", flags}};
    }

    Subprocess &start(Json payload, bool streaming = true)
    {
        process_ = std::make_unique<Subprocess>(
            request(std::move(payload), streaming), 3,
            Subprocess::Hooks {
                .log = [this](const Subprocess &, std::string_view stream,
                              std::string_view line) { log_.push_back(fmt::format("{}: {}", stream, line)); },
                .ended =
                    [](Subprocess &) {
                    }});
        process_->start(spawner_, "local:///here");
        return *process_;
    }

    Json next()
    {
        EXPECT_FALSE(sent_.empty());
        if (sent_.empty())
            return {};
        Message message = std::move(sent_.front());
        sent_.erase(sent_.begin());
        return message.errnum ? Json {{"errnum", message.errnum}} : message.json();
    }

    FakeProcess &process() { return *spawner_.last; }

    SimClock clock_;
    SimLoop loop_ {clock_};
    std::vector<Message> sent_;
    Handle handle_;
    FakeSpawner spawner_;
    std::vector<std::string> log_;
    std::unique_ptr<Subprocess> process_;
};

constexpr int all_output = rexec_flag::stdout_ | rexec_flag::stderr_;

} // namespace

TEST_F(Rexec, a_process_in_the_foreground_tells_its_whole_life)
{
    start(exec_request(all_output | rexec_flag::write_credit));
    EXPECT_EQ(next().dump(), R"({"type":"started","pid":77})");
    EXPECT_EQ(next().dump(), R"({"type":"add-credit","channels":{"stdin":4194304}})");
    process().callbacks.on_output("stdout", "hi\n");
    EXPECT_EQ(next().dump(),
              R"({"type":"output","pid":77,"io":{"stream":"stdout","rank":"3","data":"hi\n"}})");
    process().callbacks.on_output("stderr", "\xff");
    EXPECT_EQ(next().at("io", "encoding").string_view(), "base64");
    process().callbacks.on_output("stdout", "");
    EXPECT_TRUE(next().at("io", "eof").as<bool>());
    process().callbacks.on_exit(3 << 8);
    EXPECT_EQ(next().dump(), R"({"type":"finished","status":768})");
    EXPECT_EQ(next().get<int>("errnum"), ENODATA);
    EXPECT_TRUE(process_->forgettable());
}

TEST_F(Rexec, the_environment_has_the_uri_of_this_broker)
{
    start(exec_request(0));
    EXPECT_EQ(process().spec.environment, (std::vector<std::string> {"A=1", "FLUX_URI=local:///here"}));
}

TEST_F(Rexec, only_the_streams_asked_for_are_sent)
{
    start(exec_request(rexec_flag::stderr_));
    next();
    process().callbacks.on_output("stdout", "no");
    EXPECT_TRUE(sent_.empty());
}

TEST_F(Rexec, input_within_its_credit_is_passed_on_and_credit_comes_back)
{
    auto &subprocess =
        start(exec_request(rexec_flag::write_credit, Json {{"opts", Json {{"stdin_BUFSIZE", "4"}}}}));
    next(), next();
    subprocess.write(Json {{"stream", "stdin"}, {"rank", "3"}, {"data", "abc"}});
    EXPECT_EQ(process().written["stdin"], "abc");
    process().callbacks.on_written("stdin", 3);
    EXPECT_EQ(next().dump(), R"({"type":"add-credit","channels":{"stdin":3}})");
    subprocess.write(
        Json {{"stream", "stdin"}, {"rank", "3"}, {"data", "YWI="}, {"encoding", "base64"}, {"eof", true}});
    EXPECT_EQ(process().written["stdin"], "abcab");
    EXPECT_EQ(process().closed, (std::vector<std::string> {"stdin"}));
}

TEST_F(Rexec, input_beyond_its_credit_ends_the_process)
{
    auto &subprocess =
        start(exec_request(rexec_flag::write_credit, Json {{"opts", Json {{"stdin_BUFSIZE", "4"}}}}));
    next(), next();
    subprocess.write(Json {{"stream", "stdin"}, {"rank", "3"}, {"data", "abcde"}});
    EXPECT_EQ(next().get<int>("errnum"), ENOBUFS);
    EXPECT_EQ(process().signals, (std::vector<int> {SIGKILL}));
}

TEST_F(Rexec, a_client_that_is_gone_takes_a_foreground_process_with_it)
{
    auto &subprocess = start(exec_request(all_output));
    subprocess.disconnected(RouteId("somebody else"));
    EXPECT_TRUE(process().signals.empty());
    subprocess.disconnected(RouteId("client"));
    EXPECT_EQ(process().signals, (std::vector<int> {SIGKILL}));
    process().callbacks.on_exit(SIGKILL);
    EXPECT_TRUE(process_->forgettable());
}

TEST_F(Rexec, a_background_process_is_answered_once_and_logs)
{
    start(exec_request(rexec_flag::waitable), false);
    EXPECT_EQ(next().dump(), R"({"type":"started","pid":77})");
    EXPECT_FALSE(process().spec.with_stdin);
    process().callbacks.on_output("stdout", "one\ntw");
    process().callbacks.on_output("stdout", "o\n");
    process().callbacks.on_output("stderr", "last");
    process().callbacks.on_output("stderr", "");
    EXPECT_EQ(log_, (std::vector<std::string> {"stdout: one", "stdout: two", "stderr: last"}));
    process().callbacks.on_exit(0);
    EXPECT_FALSE(process_->forgettable()) << "somebody may still wait for it";
    process_->wait(request(Json {{"pid", 77}}, false, 9));
    Json answer = next();
    EXPECT_EQ(answer.get<int>("status"), 0);
    EXPECT_EQ(answer["output"].size(), 3u);
    EXPECT_TRUE(process_->forgettable());
    EXPECT_THROW(process_->wait(request(Json {{"pid", 77}}, false, 10)), Error);
}

TEST_F(Rexec, one_who_attaches_gets_what_was_kept_and_the_end)
{
    start(exec_request(rexec_flag::waitable), false);
    next();
    process().callbacks.on_output("stdout", "kept");
    process().callbacks.on_output("stdout", "");
    process_->attach(request(Json {{"pid", 77}, {"flags", all_output}}, true, 5));
    EXPECT_EQ(next().get<std::string>("type"), "attached");
    EXPECT_EQ(next().at("io", "data").string_view(), "kept");
    EXPECT_TRUE(next().at("io", "eof").as<bool>());
    EXPECT_THROW(process_->attach(request(Json {{"pid", 77}, {"flags", 0}}, true, 6)), Error)
        << "one at a time";
    sent_.clear();
    process().callbacks.on_exit(0);
    EXPECT_EQ(next().get<std::string>("type"), "finished");
    EXPECT_EQ(next().get<int>("errnum"), ENODATA);
    EXPECT_TRUE(process_->forgettable());
}

TEST_F(Rexec, one_who_detaches_leaves_the_process_alone)
{
    start(exec_request(0), false);
    next();
    process_->attach(request(Json {{"pid", 77}, {"flags", 0}}, true, 5, "visitor"));
    process_->disconnected(RouteId("visitor"));
    EXPECT_TRUE(process().signals.empty());
    EXPECT_FALSE(process_->ended());
}

TEST_F(Rexec, kept_output_is_bounded)
{
    start(exec_request(rexec_flag::waitable), false);
    next();
    for (int i = 0; i < 100; i++)
        process().callbacks.on_output("stdout", std::string(10000, 'x'));
    process().callbacks.on_exit(0);
    process_->wait(request(Json {{"pid", 77}}, false, 9));
    EXPECT_LE(next().dump().size(), 2 * Subprocess::max_retained);
}

TEST_F(Rexec, malformed_requests_say_what_is_wrong)
{
    auto refused = [&](Json payload, bool streaming) {
        return [&, payload, streaming] {
            EXPECT_THROW(start(payload, streaming), Error) << payload.dump();
        }();
    };
    refused(exec_request(0, Json {{"cmdline", Json::array()}}), true);
    refused(exec_request(0, Json {{"label", ""}}), true);
    refused(exec_request(rexec_flag::write_credit), false);
    refused(exec_request(0, Json {{"channels", Json::array_of(std::vector<std::string> {"stdin"})}}), true);
    refused(exec_request(0, Json {{"opts", Json {{"stdin_BUFSIZE", "-1"}}}}), true);
    refused(exec_request(0, Json {{"cmdline", Json::array_of(std::vector<std::string> {"missing"})}}), true);
}
