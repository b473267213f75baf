#include "cmd/progress.hpp"

#include <unistd.h>

#include "cmd/print.hpp"
#include "cmd/terminal.hpp"

namespace flux::cmd {

namespace {

constexpr Duration redraw_period = std::chrono::milliseconds(100); // a person sees no more
constexpr size_t narrowest_bar = 10;

} // namespace

ProgressBar::ProgressBar(Loop &loop, size_t total, bool jps)
    : loop_(loop), total_(total), jps_(jps), began_(loop.now())
{
}

ProgressBar::~ProgressBar()
{
    timer_.cancel();
    std::fputs((line() + "\n").c_str(), stderr); // the last word stays
}

void ProgressBar::ended(bool was_running, bool failed)
{
    (was_running ? running_ : pending_)--;
    (failed ? failed_ : completed_)++;
    redraw();
}

void ProgressBar::hide()
{
    if (shown_)
        std::fputs("\r\033[K", stderr);
    shown_ = false;
}

void ProgressBar::redraw()
{
    if (drawn_now_ || !::isatty(STDERR_FILENO))
        return;
    drawn_now_ = true;
    draw();
    timer_ = Timer(loop_, redraw_period, [this] {
        drawn_now_ = false;
        draw();
    });
}

void ProgressBar::draw()
{
    std::fputs(line().c_str(), stderr);
    std::fflush(stderr);
    shown_ = true;
}

std::string ProgressBar::line() const
{
    double passed = std::max(1e-3, to_seconds(loop_.now() - began_));
    size_t done = completed_ + failed_;
    double share = total_ ? double(done) / double(total_) : 1;
    std::string head = fmt::format("PD:{} R:{} CD:{} F:{} ", pending_, running_, completed_, failed_);
    int64_t whole = int64_t(passed);
    std::string tail = jps_ ? fmt::format(" {:5.1f}% {:.1f} job/s", share * 100, double(done) / passed)
                            : fmt::format(" {:5.1f}% {}:{:02}:{:02}", share * 100, whole / 3600,
                                          whole / 60 % 60, whole % 60);
    size_t used = head.size() + tail.size() + 3;
    size_t width = terminal_width(STDERR_FILENO);
    size_t cells = std::max(narrowest_bar, width > used ? width - used : 0);
    size_t filled = size_t(share * double(cells));
    std::string bar;
    for (size_t i = 0; i < cells; i++)
        bar += i < filled ? "█" : " ";
    return fmt::format("{}{}│{}│{}", ::isatty(STDERR_FILENO) ? "\r\033[K" : "", head, bar, tail);
}

Task<JobEnd> attach_job(Session &flux, JobId id, AttachOptions options, ProgressBar *bar)
{
    bool started = false;
    if (bar) {
        options.on_event = [&started, bar](const Event &event) {
            if (event.name == "start") {
                started = true;
                bar->started();
            }
        };
        options.before_output = [bar] {
            bar->hide();
        };
    }
    JobEnd end = co_await attach_job(flux, id, std::move(options));
    if (bar)
        bar->ended(started, end.failed());
    if (bar && end.failed())
        bar->hide(); // who is told more of it says it now
    co_return end;
}

} // namespace flux::cmd
