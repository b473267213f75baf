#include "cmd/attach_status.hpp"

#include <cstdlib>
#include <unistd.h>

namespace flux::cmd {

namespace {

constexpr Duration patience = std::chrono::seconds(2); // a job that starts sooner needs no explanation
constexpr Duration period = std::chrono::seconds(1);

bool is_interactive()
{
    return ::isatty(STDIN_FILENO) && ::isatty(STDOUT_FILENO) && ::isatty(STDERR_FILENO) &&
           !std::getenv("FLUX_ATTACH_NONINTERACTIVE");
}

} // namespace

AttachStatus::AttachStatus(Loop &loop, JobId id, const AttachOptions &options)
    : loop_(loop), id_(id),
      enabled_((options.with_stdin && is_interactive() && !options.show_events) || options.show_status),
      since_(loop.now())
{
    if (enabled_)
        timer_ = Timer(loop_, options.show_status ? Duration::zero() : patience, [this] { refresh(); });
}

void AttachStatus::on_event(const Event &event)
{
    if (!enabled_)
        return;
    if (event.name == "validate" || event.name == "submit")
        text_ = "resolving dependencies";
    else if (event.name == "depend")
        text_ = "waiting for priority";
    else if (event.name == "priority")
        text_ = event.context.value<int64_t>("priority", 1) == 0 ? "held: raise its urgency to release it"
                                                                 : "waiting for resources";
    else if (event.name == "alloc")
        text_ = "starting";
    else if (event.name == "start" || event.name == "clean") {
        clear();
        enabled_ = false;
        timer_.cancel();
        return;
    }
    if (shown_)
        refresh();
}

void AttachStatus::refresh()
{
    int64_t passed = int64_t(to_seconds(loop_.now() - since_));
    fmt::print(stderr, "\r\033[Kflux-job: {} {:<40} {:02}:{:02}:{:02}", id_text(id_), text_, passed / 3600,
               passed / 60 % 60, passed % 60);
    std::fflush(stderr);
    shown_ = true;
    timer_ = Timer(loop_, period, [this] { refresh(); });
}

void AttachStatus::clear()
{
    if (!shown_)
        return;
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
    shown_ = false;
}

} // namespace flux::cmd
