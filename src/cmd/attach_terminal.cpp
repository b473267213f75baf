#include "cmd/attach_terminal.hpp"

#include <csignal>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd/print.hpp"
#include "cmd/terminal.hpp"
#include "common/base/encoding.hpp"

namespace flux::cmd {

namespace {

constexpr std::string_view end_of_input = "\x04"; // ^D

class TerminalLink {
public:
    TerminalLink(Session &flux, std::string service, uint32_t leader)
        : flux_(flux), handle_(flux.handle()), service_(std::move(service)), leader_ {.nodeid = leader},
          gate_(handle_.loop())
    {
    }

    Task<bool> run(bool with_input)
    {
        auto output = handle_.stream(service_ + ".pty", Json::object(), leader_, service_ + ".pty-cancel");
        try {
            co_await show(output, with_input);
        } catch (const Error &error) {
            if (!began_ && (error.errnum() == ENOSYS || error.errnum() == EHOSTUNREACH))
                co_return false;
            throw;
        }
        co_return began_;
    }

private:
    Task<> show(Stream &output, bool with_input)
    {
        if (with_input && may_read_terminal())
            join();
        while (auto answer = co_await output.next()) {
            began_ = true;
            auto bytes = value_or_throw(base64_decode(answer->json().get<std::string>("data")));
            write_out(bytes);
            std::fflush(stdout);
            taken_ += bytes.size();
            tell(Json {{"taken", taken_}});
        }
        began_ = true;
    }

    void join()
    {
        raw_.emplace();
        tell_size();
        size_watch_ = flux_.loop().watch_signal(SIGWINCH, [this](int) { tell_size(); });
        keys_ = handle_.loop().watch_fd(STDIN_FILENO, true, false, [this](bool, bool) { read_keys(); });
    }

    void tell_size()
    {
        winsize size {};
        if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col)
            tell(Json {{"rows", size.ws_row}, {"columns", size.ws_col}});
    }

    void read_keys()
    {
        char chunk[stdin_chunk];
        ssize_t n = ::read(STDIN_FILENO, chunk, sizeof(chunk));
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            return;
        keys_->set(false, false); // until this has arrived
        over_ = n <= 0;
        gate_.spawn(type(over_ ? std::string(end_of_input) : std::string(chunk, size_t(n))));
    }

    Task<> type(std::string bytes)
    {
        Json message {{"data", base64_encode(bytes)}, {"encoding", "base64"}};
        try {
            co_await handle_.rpc(service_ + ".pty-input", message, leader_);
        } catch (const Error &) { // it has just gone: the stream's end says so
            over_ = true;
        }
        if (!over_)
            keys_->set(true, false);
    }

    void tell(Json message) { handle_.notify(service_ + ".pty-input", std::move(message), leader_); }

    Session &flux_;
    Handle &handle_;
    std::string service_;
    RpcOptions leader_;
    bool began_ = false; // there is, or was, a terminal
    bool over_ = false;  // nothing more is typed
    uint64_t taken_ = 0; // bytes of output
    std::optional<RawTerminal> raw_;
    std::shared_ptr<EvLoop::SignalWatch> size_watch_;
    std::unique_ptr<Loop::FdWatch> keys_;
    Gate gate_;
};

} // namespace

Task<bool> attach_terminal(Session &flux, std::string service, uint32_t leader_rank, bool with_input)
{
    TerminalLink link(flux, std::move(service), leader_rank);
    co_return co_await link.run(with_input);
}

} // namespace flux::cmd
