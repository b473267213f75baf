// PmiServer: the process manager's side of PMI-1 (RFC 13) for one task, as a pure state machine: bytes of the
// task in, calls of the owner's functions out. It knows no descriptors, no loop and no other task.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/pmi/pmi_wire.hpp"

namespace flux {

class PmiServer {
public:
    struct Options {
        uint32_t rank = 0;
        uint32_t size = 1;
        uint32_t universe_size = 0; // 0: size
        uint32_t appnum = 0;
        std::string kvsname;
    };
    struct Callbacks {
        std::function<void(std::string_view bytes)> send; // to the task
        // Keys and values are checked before. put returns false when the key cannot be stored (RFC 13 rc).
        std::function<bool(std::string_view key, std::string_view value)> put;
        std::function<std::optional<std::string>(std::string_view key)> get;
        // The task entered the barrier; call barrier_complete() when all tasks have.
        std::function<void()> barrier;
        std::function<void(int exit_code, std::string_view message)> abort;
        // The task violated the protocol: close its connection. Called at most once; later bytes are ignored.
        std::function<void(const Error &)> protocol_error;
    };

    PmiServer(Options options, Callbacks callbacks)
        : options_(std::move(options)), callbacks_(std::move(callbacks))
    {
    }

    void receive(std::string_view bytes);
    void barrier_complete(bool success = true);
    bool in_barrier() const { return in_barrier_; }
    bool initialized() const { return initialized_; }
    // Between init and finalize. A task that exits in between has died as far as its peers are concerned.
    bool active() const { return initialized_ && !finalized_; }

private:
    void handle(const pmi::Line &line);
    void handle_ready(std::string_view command, const pmi::Line &line);
    void handle_spawn(std::string_view text);
    void init(const pmi::Line &line);
    void put(const pmi::Line &line);
    void get(const pmi::Line &line);
    void reply(const pmi::Line &line) { callbacks_.send(line.encode()); }
    void violation(const Error &error);

    Options options_;
    Callbacks callbacks_;
    LineBuffer input_ = pmi::line_buffer();
    bool initialized_ = false;
    bool finalized_ = false;
    bool in_barrier_ = false;
    bool in_spawn_ = false;
    bool broken_ = false;
};

} // namespace flux
