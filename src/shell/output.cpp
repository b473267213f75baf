#include "shell/output.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace flux::shell {

Output::~Output()
{
    for (const auto &[path, fd] : files_)
        ::close(fd);
}

void Output::open()
{
    for (auto [name, options] :
         {std::pair {"stdout", &job_.options.stdout_}, {"stderr", &job_.options.stderr_}}) {
        std::map<std::string, Idset> redirected;
        for (auto task : job_.tasks) {
            Stream stream {options, name};
            if (options->to_file) {
                std::string path;
                stream.fd = open_file(*options, name, task, path);
                redirected[path].add(task);
            }
            streams_.emplace(std::pair(task, std::string(name)), std::move(stream));
        }
        for (const auto &[path, tasks] : redirected)
            channel_.send(shell_channel::Redirect {name, tasks.format(), path});
    }
}

bool Output::goes_to_channel(uint32_t task, std::string_view stream) const
{
    auto found = streams_.find(std::pair(task, std::string(stream)));
    return found != streams_.end() && found->second.fd < 0;
}

int Output::open_file(const StreamOptions &options, const std::string &stream, uint32_t task,
                      std::string &path)
{
    path = path_in_job(render(options.path, job_, task), job_);
    if (auto found = files_.find(path); found != files_.end())
        return found->second;
    // One file of several nodes is emptied by the leader only; everybody appends.
    bool mine = job_.leader() || names_node_or_task(options.path);
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (mine && !job_.options.append ? O_TRUNC : 0);
    int fd = ::open(path.c_str(), flags, 0666);
    if (fd < 0)
        throw Error(errno, "cannot open {} for the {} of task {}: {}", path, stream, task, errno_text(errno));
    files_.emplace(path, fd);
    return fd;
}

void Output::add(uint32_t task, std::string_view name, std::string_view bytes)
{
    auto found = streams_.find(std::pair(task, std::string(name)));
    if (found == streams_.end())
        return;
    auto &stream = found->second;
    if (bytes.empty()) {
        auto rest = std::move(stream.held);
        return emit(task, stream, rest, true);
    }
    if (!stream.options->line_buffered)
        return emit(task, stream, bytes, false);
    auto newline = bytes.rfind('\n');
    size_t whole = newline == bytes.npos ? 0 : newline + 1;
    if (stream.held.size() + bytes.size() > max_line)
        whole = bytes.size();
    if (whole && stream.held.empty()) {
        emit(task, stream, bytes.substr(0, whole), false);
    } else if (whole) {
        stream.held += bytes.substr(0, whole);
        emit(task, stream, std::exchange(stream.held, {}), false);
    }
    stream.held += bytes.substr(whole);
}

void Output::emit(uint32_t task, Stream &stream, std::string_view bytes, bool eof)
{
    if (stream.fd >= 0)
        return write_file(task, stream, bytes);
    uint64_t room = job_.options.output_limit - stream.sent;
    if (bytes.size() > room) {
        bytes = bytes.substr(0, room);
        if (!std::exchange(stream.truncated, true))
            channel_.send(
                shell_channel::Log {4, fmt::format("{} of task {} is cut off at output.limit, {} bytes",
                                                   stream.name, task, job_.options.output_limit)});
    }
    stream.sent += bytes.size();
    if (!bytes.empty() || eof)
        channel_.send(shell_channel::Output {stream.name, task, std::string(bytes), eof});
}

void Output::write_file(uint32_t task, Stream &stream, std::string_view bytes)
{
    std::string labeled;
    if (stream.options->label) {
        auto left = bytes;
        while (!left.empty()) {
            auto end = std::min(left.find('\n'), left.size() - 1) + 1;
            labeled += fmt::format("{}: {}", task, left.substr(0, end));
            left.remove_prefix(end);
        }
        bytes = labeled;
    }
    while (!bytes.empty()) {
        auto n = ::write(stream.fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (!std::exchange(stream.truncated, true))
                channel_.send(shell_channel::Log {3, fmt::format("cannot write the {} of task {}: {}",
                                                                 stream.name, task, errno_text(errno))});
            return;
        }
        bytes.remove_prefix(size_t(n));
    }
}

} // namespace flux::shell
