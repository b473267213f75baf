// LocalServer: the broker's AF_UNIX socket (connector "local"). Takes the peer's credentials from the kernel,
// accepts the owner (and guests where the configuration allows them), and carries RFC 3 messages both ways.
// Bytes that do not parse end their connection, never the broker.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "broker/broker.hpp"

namespace flux {

class LocalServer {
public:
    // Binds and listens; a stale socket file of a dead broker is replaced. Throws Error naming the path.
    LocalServer(Broker &broker, std::string path);
    ~LocalServer();
    const std::string &path() const { return path_; }

private:
    class Client;
    void accept_one();
    void drop(uint64_t id);

    Broker &broker_;
    std::string path_;
    int fd_ = -1;
    uint64_t next_client_ = 1;
    std::map<uint64_t, std::unique_ptr<Client>> clients_;
    std::unique_ptr<Loop::FdWatch> watch_;
};

} // namespace flux
