// Terminal: who is attached to the interactive terminal of a job, on the broker of its first shell. Its
// output goes to them and nowhere else; the last of it is kept for who comes later. The shell reads on as the
// slowest of them does. Until somebody comes at all it is held up, so that nothing is lost: what it reads
// until then is bounded by its window.
#pragma once
#include <optional>
#include <vector>

#include "common/client/request.hpp"

namespace flux::job_exec {

class Terminal {
public:
    static constexpr size_t max_recent = 16u << 10; // bytes kept: more than a screen
    static constexpr size_t max_viewers = 64;

    // Answered with {"data","encoding"?} for each piece of output, and ENODATA at its end. EPROTO if it does
    // not stream, ENOSPC when so many are attached.
    void attach(Request request);
    // A message of the shell: its output. EPROTO when it is none.
    void wrote(const Json &message);
    // The sender has got so many bytes of what its request was answered with.
    void took(const RouteId &sender, uint64_t bytes);
    // Without a matchtag: whatever it has. Whether it was attached.
    bool leave(const RouteId &sender, std::optional<uint32_t> matchtag);
    // Bytes of output so far that nobody need wait for; nullopt: as many as the last time.
    std::optional<uint64_t> newly_taken();
    void end();

private:
    struct Viewer {
        Request request;
        uint64_t begin = 0; // where in the output its stream begins
        uint64_t taken = 0;
    };
    static void send(Viewer &viewer, std::string_view bytes);

    std::vector<Viewer> viewers_;
    bool any_came_ = false;
    std::string recent_;
    uint64_t written_ = 0;
    uint64_t told_ = 0;
};

} // namespace flux::job_exec
