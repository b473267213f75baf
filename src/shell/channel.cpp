#include "shell/channel.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

namespace flux::shell {

namespace {
constexpr size_t read_size = 64 * 1024; // bytes
}

ShellChannel::~ShellChannel()
{
    watch_.reset();
    ::close(fd_);
}

std::optional<shell_channel::Start> ShellChannel::next_start()
{
    std::vector<char> buffer(read_size);
    while (!ended_) {
        if (auto line = value_or_throw(input_.next())) {
            auto message = value_or_throw(shell_channel::parse_to_shell(*line));
            if (auto *start = std::get_if<shell_channel::Start>(&message)) {
                any_start_ = true;
                return std::move(*start);
            }
            if (!any_start_)
                throw Error(EPROTO, "shell channel: the first message must be of type job");
            continue;
        }
        auto n = ::recv(fd_, buffer.data(), buffer.size(), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 && !any_start_)
            throw Error(ECONNRESET, "the shell channel ended before a job came");
        ended_ = n <= 0;
        if (!ended_)
            input_.append(std::string_view(buffer.data(), size_t(n)));
    }
    return std::nullopt;
}

void ShellChannel::watch(std::function<void(shell_channel::ToShell)> on_message, std::function<void()> on_end)
{
    on_message_ = std::move(on_message);
    on_end_ = std::move(on_end);
    watching_ = true;
    watch_ = loop_.watch_fd(fd_, true, false, [this](bool can_read, bool can_write) {
        if (can_write)
            write_some(false);
        if (can_read)
            readable();
    });
    loop_.post([this] { deliver(); }); // what came together with the first message
}

void ShellChannel::unwatch()
{
    watching_ = false;
    watch_->set(false, false);
}

void ShellChannel::readable()
{
    if (!watching_)
        return;
    char buffer[read_size];
    auto n = ::recv(fd_, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        input_.append(std::string_view(buffer, size_t(n)));
        return deliver();
    }
    end();
}

void ShellChannel::end()
{
    ended_ = true;
    unsent_.clear();
    watch_->set(false, false);
    on_end_();
    note_backlog(); // what nobody wants any more holds nobody up
}

void ShellChannel::note_backlog()
{
    bool now = unsent_.size() > (backlog_ ? low_water : high_water);
    if (std::exchange(backlog_, now) != now && on_backlog_ && watching_)
        on_backlog_(now);
}

void ShellChannel::deliver()
{
    while (!ended_ && watching_) {
        auto line = input_.next();
        auto message = line && *line ? shell_channel::parse_to_shell(**line)
                       : line        ? Expected<shell_channel::ToShell>(std::unexpected(Error(EAGAIN)))
                                     : std::unexpected(line.error());
        if (!message && message.error().errnum() == EAGAIN)
            return;
        if (!message) {
            send(shell_channel::Log {3, message.error().text()});
            flush();
            return end();
        }
        on_message_(std::move(*message));
    }
}

void ShellChannel::send(const shell_channel::FromShell &message)
{
    if (ended_)
        return;
    unsent_ += shell_channel::encode(message);
    note_backlog();
    if (unsent_.size() > max_unsent)
        write_some(true);
    if (!flush_posted_) {
        flush_posted_ = true;
        loop_.post([this] {
            flush_posted_ = false;
            write_some(false);
        });
    }
}

void ShellChannel::flush()
{
    write_some(true);
}

void ShellChannel::write_some(bool wait)
{
    size_t sent = 0;
    while (sent < unsent_.size()) {
        auto n = ::send(fd_, unsent_.data() + sent, unsent_.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            sent += size_t(n);
        } else if (errno == EAGAIN && wait) {
            pollfd ready {fd_, POLLOUT, 0};
            ::poll(&ready, 1, -1);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) { // gone: the next read says so
            sent = unsent_.size();
        }
    }
    unsent_.erase(0, sent);
    note_backlog();
    if (watching_ && !ended_)
        watch_->set(true, !unsent_.empty());
}

} // namespace flux::shell
