// Tracer: tells those who ask of the messages that pass a place in the broker, in the order in which they do
// (module.trace: at its modules; overlay.trace: at its links). While nobody asks, a message costs one look at
// active().
//
// SERVICE.trace {"peers"?: [...], "types"?: [...], "topic"?: glob, "full"?: bool} is answered by {"id",
// "messages": [...], "dropped"?}; each answer is to be taken with SERVICE.trace-more {"id"}. Of one who does
// not take them, no more than a few answers are under way: what comes meanwhile waits, up to a limit, and is
// then dropped and counted. Messages of traces are not traced themselves.
#pragma once
#include <list>
#include <memory>
#include <set>
#include <string>

#include "common/client/handle.hpp"

namespace flux {

class Tracer {
public:
    static constexpr size_t max_traces = 32;              // at one time
    static constexpr size_t max_peers = 1000;             // of one trace
    static constexpr size_t max_answers = 4;              // sent and not taken
    static constexpr size_t max_in_answer = 500;          // messages
    static constexpr size_t max_answer_bytes = 4 << 20;   // of their payloads, about
    static constexpr size_t max_waiting = 20000;          // messages
    static constexpr size_t max_waiting_bytes = 16 << 20; // of payloads that wait
    static constexpr size_t max_payload = 1 << 20;        // a longer one is left out

    // service: "module", "overlay"
    Tracer(std::string service, Loop &loop) : service_(std::move(service)), loop_(loop) {}
    Tracer(const Tracer &) = delete;

    bool active() const { return !traces_.empty(); }
    enum class Way { received, sent };
    // Sent and received by the module, or, of a neighbour in the tree, by this broker. Only when active().
    void note(std::string_view peer, Way way, const Message &message);
    void serve(Handle &handle);

private:
    struct Trace;
    Task<> trace(Request request);
    void more(const Request &request);
    static bool is_of_a_trace(const Message &message);

    std::string service_;
    Loop &loop_;
    uint64_t next_id_ = 1;
    std::list<Trace *> traces_; // each on the frame of its conversation
};

} // namespace flux
