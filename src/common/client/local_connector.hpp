// LocalConnector: a program's connection to the broker on its node, an AF_UNIX stream socket (local://PATH).
// Gives what arrives to a Handle and sends what the Handle says; both without blocking the loop.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/message/codec.hpp"
#include "common/runtime/loop.hpp"

namespace flux {

class LocalConnector {
public:
    using MessageFn = std::function<void(Message)>;
    using LostFn = std::function<void(const Error &)>;

    // Connects and waits for the broker's accept byte. Throws Error: EINVAL for a URI that is not
    // local://PATH, the errno of connect(2) with a sentence that says whether an instance may be running
    // there, or the broker's refusal.
    LocalConnector(Loop &loop, std::string_view uri);
    LocalConnector(const LocalConnector &) = delete;
    ~LocalConnector();

    // Starts reading. on_lost is called once, from the loop; nothing is called after it.
    void start(MessageFn on_message, LostFn on_lost);
    // Queues a message; on a lost connection it goes nowhere.
    void send(const Message &message);
    // Blocks until all that was sent is with the kernel, at most so long. Returns whether it is.
    bool flush(Duration timeout);

private:
    void ready(bool readable, bool writable);
    void read_some();
    void write_some();
    void lose(Error error);

    Loop &loop_;
    std::string path_;
    int fd_ = -1;
    bool lost_ = false;
    bool watching_write_ = false;
    std::unique_ptr<Loop::FdWatch> watch_;
    FrameReader reader_;
    std::string out_;
    size_t written_ = 0; // of out_
    MessageFn on_message_;
    LostFn on_lost_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

} // namespace flux
