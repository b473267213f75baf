// Many jobs from one command line (flux submit --cc, flux bulksubmit): made one after the other, submitted as
// many at a time as the instance takes, and waited for, watched or logged as the options say.
#pragma once
#include <string>
#include <vector>

#include "cmd/attach.hpp"
#include "cmd/submit_options.hpp"

namespace flux::cmd {

constexpr size_t max_copies = 1'000'000; // jobs of one command

// One of the jobs, and where its id and output go instead of the terminal.
struct Copy {
    Submission submission;
    std::string log, log_stderr; // paths, or empty
};

// The jobs, which are made when they are asked for: not all of their jobspecs need be in memory.
class CopySource {
public:
    virtual ~CopySource() = default;
    virtual const char *command() const { return "flux-submit"; } // in messages
    virtual size_t size() const = 0;
    virtual Copy make(size_t number) const = 0; // throws what is wrong with this one
};

// --cc or --bcc: which of them, and its ids. Empty name: neither. UsageError.
struct CopyIds {
    std::string option;
    std::vector<uint32_t> ids;
    static CopyIds from(const Args &args);
};
// The job of one id: "{cc}" in options and command becomes the id; --cc also sets FLUX_JOB_CC.
Copy make_copy(Args args, const std::string &id, bool set_variable);

AttachOptions attach_options(const Args &args);
void show_jobspec(const Submission &submission);
// The exit status.
int submit_bulk(Session &flux, const Args &args, const CopySource &copies);
std::vector<Option> bulk_options();

} // namespace flux::cmd
