// PmiClient: the program's side of PMI-1 (RFC 13), blocking. A broker started by a process manager asks it
// for its rank, its size and its peers' addresses at boot, before its loop runs.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/pmi/pmi_wire.hpp"

namespace flux {

class PmiClient {
public:
    // From PMI_FD, PMI_RANK and PMI_SIZE; nullopt when PMI_FD is not set. Throws Error: EINVAL on nonsense in
    // them, and what the first exchange (init, maxes, kvsname) throws.
    static std::optional<PmiClient> from_environment();
    // Takes over the descriptor and says hello on it.
    PmiClient(int fd, uint32_t rank, uint32_t size);
    PmiClient(PmiClient &&other) noexcept;
    PmiClient &operator=(PmiClient &&) = delete;
    ~PmiClient();

    uint32_t rank() const { return rank_; }
    uint32_t size() const { return size_; }
    const std::string &kvsname() const { return kvsname_; }
    size_t max_value() const { return max_value_; } // bytes with the terminating NUL, as the server said

    // All throw Error: EPROTO when the server answers nonsense, EIO when it refuses, ECONNRESET when it is
    // gone.
    void put(std::string_view key, std::string_view value);
    std::string get(std::string_view key); // ENOENT when nobody put it
    void barrier();
    uint32_t universe_size();
    uint32_t appnum();
    void finalize();
    void abort(int exit_code,
               std::string_view message); // does not return control of the program's life: exit after it

private:
    pmi::Line call(const pmi::Line &request, std::string_view answer);
    void send(const std::string &bytes);

    int fd_;
    uint32_t rank_;
    uint32_t size_;
    std::string kvsname_;
    size_t max_value_ = pmi::max_value;
    LineBuffer input_ = pmi::line_buffer();
};

} // namespace flux
