// LocalServer: the broker's AF_UNIX socket (connector "local"). Takes the peer's credentials from the kernel,
// accepts the owner (and guests where the configuration allows them), and carries RFC 3 messages both ways.
// Bytes that do not parse end their connection, never the broker.
//
// What others may cost the broker is limited: connections beyond the limit are refused with EUSERS, and one
// that makes the broker keep too much (a message too large, answers that it does not read) is dropped with a
// line in the log.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "broker/broker.hpp"
#include "common/message/codec.hpp"

namespace flux {

struct LocalServerLimits {
    size_t connections = 8192;       // at once
    size_t guest_connections = 1024; // of these, of all guests together: the owner gets in
    // Bytes kept for one connection: of a message that is not complete, and as many that it has not read.
    size_t owner_buffer = max_message_size;
    size_t guest_buffer = 32 << 20;
    Duration accept_pause = std::chrono::seconds(1); // without descriptors, unless a connection ends before
};

class LocalServer {
public:
    using Limits = LocalServerLimits;
    // Binds and listens; a stale socket file of a dead broker is replaced. Throws Error naming the path:
    // EADDRINUSE when a broker answers there, EEXIST when it is no socket.
    LocalServer(Broker &broker, std::string path, Limits limits = {});
    ~LocalServer();
    const std::string &path() const { return path_; }

private:
    class Client;
    void accept_one();
    int refusal(int fd, Credentials &credentials); // an errno, or 0 and who it is
    int refuse_full(std::string_view whose, size_t limit);
    void pause_accepting(int errnum);
    void resume_accepting();
    void drop(uint64_t id);

    Broker &broker_;
    std::string path_;
    Limits limits_;
    int fd_ = -1;
    uint64_t next_client_ = 1;
    std::map<uint64_t, std::unique_ptr<Client>> clients_;
    size_t guests_ = 0; // of the clients
    std::unique_ptr<Loop::FdWatch> watch_;
    Timer pause_; // runs while nothing is accepted
    bool paused_ = false;
    bool said_paused_ = false; // since a connection was accepted
    bool said_full_ = false;   // since there was room
};

} // namespace flux
