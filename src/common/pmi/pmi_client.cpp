#include "common/pmi/pmi_client.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace flux {

using pmi::Line;

namespace {

uint32_t number_from(const char *name, uint32_t least)
{
    const char *text = getenv(name);
    uint32_t value = 0;
    if (text) {
        const char *end = text + strlen(text);
        auto [at, errc] = std::from_chars(text, end, value);
        if (errc == std::errc() && at == end && at != text && value >= least && value <= INT32_MAX)
            return value;
    }
    throw Error(EINVAL, "{} is \"{}\": expected a number of at least {}, as a process manager sets it", name,
                text ? text : "", least);
}

} // namespace

std::optional<PmiClient> PmiClient::from_environment()
{
    if (!getenv("PMI_FD"))
        return std::nullopt;
    auto fd = number_from("PMI_FD", 0);
    auto rank = number_from("PMI_RANK", 0);
    auto size = number_from("PMI_SIZE", 1);
    if (rank >= size)
        throw Error(EINVAL, "PMI_RANK is {} but PMI_SIZE is {}", rank, size);
    fcntl(int(fd), F_SETFD, FD_CLOEXEC); // it is this program's, not its children's
    return std::optional<PmiClient>(std::in_place, int(fd), rank, size);
}

PmiClient::PmiClient(int fd, uint32_t rank, uint32_t size) : fd_(fd), rank_(rank), size_(size)
{
    auto hello = call(Line("init").add("pmi_version", 1).add("pmi_subversion", 1), "response_to_init");
    if (hello.find_int("pmi_version").value_or(1) != 1)
        throw Error(EPROTO, "PMI: the process manager wants version {}, only 1 is known",
                    hello.get("pmi_version"));
    auto maxes = call(Line("get_maxes"), "maxes");
    max_value_ = size_t(maxes.find_int("vallen_max").value_or(pmi::max_value));
    kvsname_ = call(Line("get_my_kvsname"), "my_kvsname").get("kvsname");
}

PmiClient::PmiClient(PmiClient &&other) noexcept
    : fd_(std::exchange(other.fd_, -1)), rank_(other.rank_), size_(other.size_),
      kvsname_(std::move(other.kvsname_)), max_value_(other.max_value_), input_(std::move(other.input_))
{
}

PmiClient::~PmiClient()
{
    if (fd_ >= 0)
        ::close(fd_);
}

void PmiClient::put(std::string_view key, std::string_view value)
{
    if (!pmi::valid_key(key))
        throw Error(EINVAL, "PMI: \"{}\" is not a valid key", key);
    if (value.size() >= max_value_ || value.find('\n') != value.npos)
        throw Error(EINVAL, "PMI: the value of {} has {} bytes or a newline, at most {} fit", key,
                    value.size(), max_value_ - 1);
    call(Line("put").add("kvsname", kvsname_).add("key", key).add("value", value), "put_result");
}

std::string PmiClient::get(std::string_view key)
{
    try {
        auto answer = call(Line("get").add("kvsname", kvsname_).add("key", key), "get_result");
        return std::string(answer.get("value"));
    } catch (const Error &error) {
        if (error.errnum() != EIO)
            throw;
    }
    throw Error(ENOENT, "PMI: nobody put the key {}", key);
}

void PmiClient::barrier()
{
    call(Line("barrier_in"), "barrier_out");
}

uint32_t PmiClient::universe_size()
{
    return uint32_t(call(Line("get_universe_size"), "universe_size").find_int("size").value_or(size_));
}

uint32_t PmiClient::appnum()
{
    return uint32_t(call(Line("get_appnum"), "appnum").find_int("appnum").value_or(0));
}

void PmiClient::finalize()
{
    call(Line("finalize"), "finalize_ack");
}

void PmiClient::abort(int exit_code, std::string_view message)
{
    std::string text(message.substr(0, pmi::max_value));
    for (char &c : text)
        if (static_cast<unsigned char>(c) < 0x20)
            c = ' ';
    send(Line("abort").add("exitcode", exit_code).add("msg", text).encode());
}

void PmiClient::send(const std::string &bytes)
{
    size_t sent = 0;
    while (sent < bytes.size()) {
        auto n = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == ENOTSOCK) // other process managers pass a pipe
            n = ::write(fd_, bytes.data() + sent, bytes.size() - sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            throw Error(errno, "PMI: cannot write to the process manager: {}", errno_text(errno));
        sent += size_t(n);
    }
}

Line PmiClient::call(const Line &request, std::string_view answer)
{
    send(request.encode());
    while (true) {
        auto text = value_or_throw(input_.next());
        if (text) {
            auto line = value_or_throw(Line::parse(*text));
            if (line.get("cmd") != answer)
                throw Error(EPROTO, "PMI: expected \"{}\", got \"{}\"", answer, line.get("cmd"));
            if (auto rc = line.find_int("rc"); rc && *rc != 0)
                throw Error(EIO, "PMI: {} failed with code {} {}", request.get("cmd"), *rc, line.get("msg"));
            return line;
        }
        char buffer[pmi::max_line];
        auto n = ::read(fd_, buffer, sizeof(buffer));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            throw Error(ECONNRESET, "PMI: the process manager closed the connection");
        input_.append(std::string_view(buffer, size_t(n)));
    }
}

} // namespace flux
