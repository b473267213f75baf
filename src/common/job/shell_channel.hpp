// The channel between a job's shell and the job-exec module on its node: newline-delimited JSON objects over
// a socket pair, whose number the shell finds in FLUX_SHELL_CHANNEL. doc/shell-channel.md tells the
// conversation.
//
//     process->write("FLUX_SHELL_CHANNEL", encode(shell_channel::Signal {SIGTERM}));
//     auto message = value_or_throw(shell_channel::parse_from_shell(line));
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/line_buffer.hpp"
#include "common/json/json.hpp"
#include "common/types/job_id.hpp"

namespace flux::shell_channel {

constexpr const char *environment_name = "FLUX_SHELL_CHANNEL";
constexpr size_t max_message = 128u << 20; // bytes of one line; a jobspec may be big

// To the shell.
struct Start { // "job": the first message, and again after a Finish that says `ready`
    JobId id;
    uint32_t userid = 0;
    Json jobspec;
    Json environment; // of the tasks: an object of strings; absent: what the jobspec has
    Json R;
    uint32_t rank = 0;   // the broker's
    uint32_t nodeid = 0; // this shell's index in R, in rank order
    uint32_t nnodes = 1;
    uint32_t leader_rank = 0; // the broker rank of nodeid 0
    std::string hostlist;     // RFC 29, in nodeid order
    std::string uri;          // FLUX_URI of the tasks
    std::string service;      // for the shell.init event
    std::string tmpdir;       // where FLUX_JOB_TMPDIR is made; empty: TMPDIR or /tmp
    std::string enclosing_id; // the job that is this instance, if it is one
    std::string jobid_path;   // "/ƒA/ƒB" of that job; empty: "/"
};
struct Signal {
    int signum = 0;
};
struct Stdin {
    std::string ranks = "all"; // task ranks, an idset or "all"
    std::string data;          // raw bytes
    bool eof = false;
};
struct PmiExchangeResult {
    uint64_t seq = 0;
    Json pairs; // what all shells put, as an object of strings
};
struct Shutdown {}; // kill the tasks and exit
struct Expiration { // the job's new one, seconds since the epoch; 0: none
    double expiration = 0;
};
struct TerminalInput { // of the interactive terminal
    std::string data;    // raw bytes, as typed
    uint16_t rows = 0;   // with columns, its new size; 0: as it was
    uint16_t columns = 0;
    uint64_t taken = 0; // bytes of its output so far that nobody need wait for any more; 0: nothing new
};
struct Topology { // the node's, as hwloc's XML, or why there is none
    std::string xml;
    std::string error;
};
using ToShell =
    std::variant<Start, Signal, Stdin, PmiExchangeResult, Shutdown, Expiration, TerminalInput, Topology>;

// From the shell.
struct Event { // for guest.exec.eventlog
    std::string name;
    Json context;
};
struct Output {
    std::string stream; // "stdout" or "stderr"
    uint32_t rank = 0;  // the task's
    std::string data;   // raw bytes; on the wire UTF-8 or, with "encoding", base64 (RFC 24)
    bool eof = false;
};
struct TerminalOutput { // of the interactive terminal, for whoever is attached
    std::string data;   // raw bytes
};
struct Redirect { // RFC 24: this stream of these tasks goes to a file
    std::string stream;
    std::string ranks;
    std::string path;
};
struct PmiExchange {
    uint64_t seq = 0; // 0, 1, 2... one per barrier
    Json pairs;       // what this node's tasks put since the last one
};
struct Log {
    int level = 6; // RFC 5424 severity
    std::string text;
    uint32_t nodeid = 0;
};
struct Exception {
    int severity = 0;
    std::string type;
    std::string note;
    bool lost_task = false; // a task was killed: no matter if somebody asked for that
};
struct Tasks { // in order of their ranks
    std::vector<int> pids;
    bool groups = true; // each leads a process group: for whoever has to clean up after a shell that was killed
    std::vector<int> helpers; // processes beside the tasks, each in a group of its own
};
struct TopologyRequest { // answered by a Topology
    std::string cores;   // only what has these (idset); empty: all of it
};
struct StdinTaken { // so many Stdin messages so far: the tasks have read them, but for a bounded rest
    uint64_t count = 0;
};
struct Finish {     // the job's last message
    int status = 0; // the worst wait status of this shell's tasks
    bool ready = false; // the shell stays, and may be sent another job; otherwise it exits
};
using FromShell = std::variant<Event, Output, Redirect, PmiExchange, Log, Exception, Tasks, StdinTaken,
                               TerminalOutput, TopologyRequest, Finish>;

// One line with its newline.
std::string encode(const ToShell &message);
std::string encode(const FromShell &message);

// Without its newline. EPROTO says which key is wrong.
Expected<ToShell> parse_to_shell(std::string_view line);
Expected<FromShell> parse_from_shell(std::string_view line);

inline LineBuffer line_buffer()
{
    return {"shell channel", max_message};
}

// Whether bytes can be a JSON string as they are: UTF-8 without NUL.
bool is_text(std::string_view bytes) noexcept;

} // namespace flux::shell_channel
