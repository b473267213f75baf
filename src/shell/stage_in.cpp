#include "shell/stage_in.hpp"

#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "common/job/job_exit.hpp"

namespace flux::shell {

namespace {

// The commands are installed beside the shell.
std::string flux_program()
{
    std::error_code failed;
    auto path = std::filesystem::read_symlink("/proc/self/exe", failed).parent_path() / "flux";
    return !failed && ::access(path.c_str(), X_OK) == 0 ? path.string() : "flux";
}

} // namespace

void StageInRun::start()
{
    const auto &wanted = *job_.options.stage_in;
    destination_ = wanted.destination.empty() ? job_.tmpdir : path_in_job(wanted.destination, job_);
    std::error_code failed;
    std::filesystem::create_directories(destination_, failed);
    if (failed)
        throw Error(failed.value(), "stage-in: cannot make {}: {}", destination_, failed.message());
    next();
}

void StageInRun::next()
{
    const auto &wanted = *job_.options.stage_in;
    if (started_ == wanted.names.size())
        return done_(std::nullopt);
    ProcessSpec spec;
    spec.argv = {flux_program(),
                 "archive",
                 "extract",
                 "--overwrite",
                 "--name=" + wanted.names[started_],
                 "--directory=" + destination_};
    if (!wanted.pattern.empty())
        spec.argv.insert(spec.argv.end(), {"--", wanted.pattern});
    spec.environment = task_environment(job_, std::nullopt);
    ProcessCallbacks callbacks;
    callbacks.on_output = [this](std::string_view, std::string_view bytes) {
        complaint_ += bytes.substr(0, max_complaint - std::min(complaint_.size(), max_complaint));
    };
    callbacks.on_exit = [this](int status) {
        exited(status);
    };
    started_++;
    complaint_.clear();
    std::optional<Error> failed;
    try {
        processes_.push_back(spawner_.spawn(std::move(spec), std::move(callbacks)));
    } catch (const Error &error) {
        failed = error;
    }
    if (failed)
        failed_because(failed->text());
}

void StageInRun::failed_because(const std::string &why)
{
    done_(Error(EIO, "stage-in: archive {} on {}: {}", job_.options.stage_in->names[started_ - 1], job_.host,
                why));
}

void StageInRun::exited(int wait_status)
{
    if (wait_status == 0)
        return next();
    while (complaint_.ends_with('\n'))
        complaint_.pop_back();
    failed_because(complaint_.empty() ? "flux archive extract " + describe_wait_status(wait_status)
                                      : complaint_);
}

void StageInRun::kill()
{
    if (processes_.empty())
        return;
    try {
        processes_.back()->signal(SIGKILL);
    } catch (const Error &) { // it exited just now
    }
}

} // namespace flux::shell
