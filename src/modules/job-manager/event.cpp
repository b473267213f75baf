#include "modules/job-manager/job.hpp"

namespace flux {

namespace {

using Handler = void (*)(Job &, const Event &);

void need_state(const Job &job, const Event &event, uint32_t allowed)
{
    if (!(bit(job.state) & allowed))
        throw Error(EINVAL, "a {} event cannot come in state {}", event.name, state_name(job.state));
}

void on_submit(Job &job, const Event &event)
{
    need_state(job, event, bit(JobState::new_));
    auto version = event.context.get<int>("version");
    if (version != 1)
        throw Error(EINVAL, "the event log has version {}, but only version 1 is known", version);
    auto userid = event.context.get<uint32_t>("userid");
    auto value = event.context.get<int>("urgency");
    auto flags = event.context.get<uint32_t>("flags");
    job.userid = userid;
    job.urgency = value;
    job.flags = flags;
    job.t_submit = event.timestamp;
}

void on_validate(Job &job, const Event &event)
{
    need_state(job, event, bit(JobState::new_));
    job.state = JobState::depend;
}

void on_depend(Job &job, const Event &event)
{
    need_state(job, event, bit(JobState::depend));
    if (!job.dependencies.empty())
        throw Error(EINVAL, "a depend event came while dependency {} is not met", *job.dependencies.begin());
    job.state = JobState::priority;
}

void on_priority(Job &job, const Event &event)
{
    need_state(job, event, bit(JobState::priority) | bit(JobState::sched));
    auto value = event.context.get<int64_t>("priority");
    if (value < priority::minimum || value > priority::maximum)
        throw Error(EINVAL, "priority {} is not in the range 0-4294967295", value);
    job.priority = value;
    job.state = JobState::sched;
}

void on_urgency(Job &job, const Event &event)
{
    auto value = event.context.get<int>("urgency");
    if (auto ok = check_urgency(value, true); !ok)
        throw ok.error();
    job.urgency = value;
    if (job.state == JobState::sched)
        job.state = JobState::priority; // back, until the new priority is known
}

void on_restart(Job &job, const Event &)
{
    if (job.state == JobState::sched)
        job.state = JobState::priority;
}

void on_dependency_add(Job &job, const Event &event)
{
    need_state(job, event, bit(JobState::new_) | bit(JobState::depend));
    job.dependencies.insert(event.context.get<std::string>("description"));
}

void on_dependency_remove(Job &job, const Event &event)
{
    need_state(job, event, bit(JobState::depend) | bit(JobState::cleanup));
    auto description = event.context.get<std::string>("description");
    auto found = job.dependencies.find(description);
    if (found == job.dependencies.end())
        throw Error(ENOENT, "dependency {} was never added to this job", description);
    job.dependencies.erase(found);
}

void on_alloc(Job &job, const Event &event)
{
    need_state(job, event, bit(JobState::sched) | bit(JobState::priority) | bit(JobState::cleanup));
    if (job.has_resources)
        throw Error(EINVAL, "an alloc event came to a job that has resources already");
    job.has_resources = true;
    if (event.context["annotations"])
        job.annotations = event.context["annotations"];
    if (job.state != JobState::cleanup) {
        job.state = JobState::run;
        job.ran = true;
    }
}

void on_free(Job &job, const Event &event)
{
    need_state(job, event, bit(JobState::cleanup));
    if (!job.has_resources)
        throw Error(EINVAL, "a free event came to a job without resources");
    job.has_resources = false;
}

void on_start(Job &job, const Event &event)
{
    need_state(job, event, bit(JobState::run) | bit(JobState::cleanup));
    job.started = true;
}

void on_finish(Job &job, const Event &event)
{
    need_state(job, event, bit(JobState::run) | bit(JobState::cleanup));
    auto status = event.context.get<int>("status");
    job.status = status;
    job.finished = true;
    job.state = JobState::cleanup;
}

void on_release(Job &job, const Event &event)
{
    need_state(job, event, bit(JobState::run) | bit(JobState::cleanup));
    if (event.context.get<bool>("final")) {
        job.released = true;
        job.state = JobState::cleanup;
    }
}

void on_exception(Job &job, const Event &event)
{
    need_state(job, event, job_states::known & ~bit(JobState::inactive));
    auto severity = event.context.get<int>("severity");
    event.context.get<std::string>("type");
    if (severity < 0 || severity > 7)
        throw Error(EINVAL, "severity {} is not in the range 0-7", severity);
    if (severity > 0)
        return;
    ++job.fatal_exceptions;
    if (!job.fatal)
        job.fatal = event.context;
    job.state = JobState::cleanup;
}

void on_clean(Job &job, const Event &event)
{
    need_state(job, event, bit(JobState::cleanup));
    if (job.has_resources)
        throw Error(EINVAL, "a clean event came while the job still has resources");
    job.state = JobState::inactive;
    job.t_clean = event.timestamp;
}

void on_jobspec_update(Job &job, const Event &event)
{
    if (!job.jobspec)
        return;
    job.jobspec = job.jobspec.copy();
    for (auto [key, value] : event.context.members())
        job.jobspec.set_path(key, value);
}

void on_resource_update(Job &job, const Event &event)
{
    auto expiration = event.context.get<double>("expiration");
    if (!job.R)
        return;
    job.R = job.R.copy();
    job.R.set_path("execution.expiration", expiration);
}

void on_set_flags(Job &job, const Event &event)
{
    for (const auto &name : event.context.get<std::vector<std::string>>("flags"))
        job.flags |= value_or_throw(parse_job_flags(name));
}

int &counter(Job &job, bool prolog)
{
    return prolog ? job.prologs : job.epilogs;
}
template <bool prolog>
void on_action_start(Job &job, const Event &)
{
    ++counter(job, prolog);
    (prolog ? job.had_prolog : job.had_epilog) = true;
}
template <bool prolog>
void on_action_finish(Job &job, const Event &event)
{
    if (counter(job, prolog) == 0)
        throw Error(EINVAL, "a {} event came without its start", event.name);
    --counter(job, prolog);
}

void on_not_launched(Job &job, const Event &)
{
    job.not_launched = true;
}

const std::map<std::string_view, Handler> &handlers()
{
    static const std::map<std::string_view, Handler> table {
        {"submit", on_submit},
        {"validate", on_validate},
        {"depend", on_depend},
        {"priority", on_priority},
        {"urgency", on_urgency},
        {"flux-restart", on_restart},
        {"dependency-add", on_dependency_add},
        {"dependency-remove", on_dependency_remove},
        {"alloc", on_alloc},
        {"free", on_free},
        {"start", on_start},
        {"finish", on_finish},
        {"release", on_release},
        {"exception", on_exception},
        {"clean", on_clean},
        {"jobspec-update", on_jobspec_update},
        {"resource-update", on_resource_update},
        {"set-flags", on_set_flags},
        {"prolog-start", on_action_start<true>},
        {"prolog-finish", on_action_finish<true>},
        {"epilog-start", on_action_start<false>},
        {"epilog-finish", on_action_finish<false>},
        {job_events::not_launched, on_not_launched},
    };
    return table;
}

} // namespace

Expected<void> Job::apply(const Event &event)
{
    if (state == JobState::inactive && event.name != "memo")
        return fail(EINVAL, "a {} event cannot come to an inactive job", event.name);
    not_launched = false;
    auto found = handlers().find(event.name);
    if (found == handlers().end())
        return {}; // memo, debug.*, and what plugins add: no change of state
    try {
        found->second(*this, event);
    } catch (const Error &error) {
        return fail(error.errnum(), "{} event: {}", event.name, error.text());
    }
    return {};
}

JobAction Job::next_action() const
{
    if (submitting)
        return JobAction::none;
    switch (state) {
    case JobState::depend:
        return dependencies.empty() ? JobAction::post_depend : JobAction::none;
    case JobState::priority:
        return JobAction::set_priority;
    case JobState::sched:
        if (priority == priority::minimum || queue_stopped)
            return alloc_pending && !alloc_cancelling ? JobAction::cancel_alloc : JobAction::none;
        return alloc_pending ? JobAction::none : JobAction::request_alloc;
    case JobState::run:
        return prologs == 0 && !start_pending ? JobAction::start : JobAction::none;
    case JobState::cleanup:
        if (alloc_pending)
            return alloc_cancelling ? JobAction::none : JobAction::cancel_alloc;
        if (start_pending && !released)
            return fatal && !stop_sent ? JobAction::stop : JobAction::none;
        if (recovered && has_resources && !released) // whoever launched it says when nothing is left of it
            return start_pending ? JobAction::none : JobAction::start;
        if (prologs || epilogs)
            return JobAction::none;
        return has_resources ? JobAction::free : JobAction::clean;
    case JobState::new_:
    case JobState::inactive:
        break;
    }
    return JobAction::none;
}

JobResult Job::result() const
{
    if (fatal) {
        auto type = (*fatal)["type"];
        if (type.string_view() == "cancel")
            return JobResult::canceled;
        if (type.string_view() == "timeout")
            return JobResult::timeout;
        return JobResult::failed;
    }
    return finished && status == 0 ? JobResult::completed : JobResult::failed;
}

int64_t default_priority(int urgency)
{
    return urgency == urgency::expedite ? priority::maximum : urgency;
}

Json merge_annotations(const Json &old, const Json &changes)
{
    Json out = old ? old.shallow_copy() : Json::object();
    for (auto [key, value] : changes.members()) {
        if (value.is_null())
            out.erase(key);
        else if (value.is_object() && out[key].is_object()) {
            Json merged = merge_annotations(out[key], value);
            if (merged)
                out.set(key, merged);
            else
                out.erase(key);
        } else
            out.set(key, value);
    }
    return out.empty() ? Json() : out;
}

} // namespace flux
