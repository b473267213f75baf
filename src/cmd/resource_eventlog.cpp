// flux resource eventlog: the journal of what became of nodes (RFC 44).
#include <cmath>

#include "cmd/eventlog_view.hpp"
#include "cmd/print.hpp"
#include "cmd/resource_commands.hpp"
#include "common/types/hostlist.hpp"
#include "common/types/idset.hpp"

namespace flux::cmd {

namespace {

constexpr double match_tolerance = 1e-5; // of numbers given with --match-context

class Journal {
public:
    Journal(const Args &args) : args_(args), view_(event_view(args))
    {
        if (args.has("include")) {
            if (auto ranks = Idset::parse(args.value("include")))
                ranks_ = *ranks;
            else
                hosts_ = option_value("include", Hostlist::parse(args.value("include")));
        }
        for (const auto &pair : args.all("match-context"))
            if (pair.find('=') == std::string::npos)
                throw UsageError(fmt::format("--match-context: '{}' is not KEY=VALUE", pair));
    }

    Task<bool> show(Handle &handle, bool to_the_end)
    {
        auto stream =
            handle.stream("resource.journal", Json::object(), {.nodeid = 0}, "resource.journal-cancel");
        while (auto answer = co_await stream.next()) {
            Json events = answer->json()["events"];
            for (auto json : events.elements())
                if (take(value_or_throw(Event::from_json(json))))
                    co_return true;
            std::fflush(stdout);
            if (events.empty() && !to_the_end) // RFC 44: what follows is new
                co_return false;
        }
        co_return false;
    }

private:
    bool concerns(const Event &event) const
    {
        if (!args_.has("include"))
            return true;
        if (ranks_) {
            auto text = event.context.find<std::string>("idset");
            if (!text)
                text = event.context.find<std::string>("ranks");
            auto ids = text ? Idset::parse(*text) : Idset();
            return ids && ids->intersects(*ranks_);
        }
        auto list = Hostlist::parse(event.context.value<std::string>("nodelist", ""));
        if (list)
            for (size_t i = 0; i < list->size(); i++)
                if (hosts_.contains(list->nth(i)))
                    return true;
        return false;
    }

    bool matches_context(const Event &event) const
    {
        for (const auto &pair : args_.all("match-context")) {
            size_t equals = pair.find('=');
            Json found = event.context[pair.substr(0, equals)];
            std::string wanted = pair.substr(equals + 1);
            char *end = nullptr;
            double number = std::strtod(wanted.c_str(), &end);
            bool same = found.is_string() ? found.string_view() == wanted
                        : found.is_number() && !wanted.empty() && !*end
                            ? std::abs(found.as<double>() - number) < match_tolerance
                            : found && found.dump() == wanted;
            if (!same)
                return false;
        }
        return true;
    }

    // Whether it is the one that is waited for.
    bool take(const Event &event)
    {
        if (!concerns(event))
            return false;
        bool found = args_.has("wait") && event.name == args_.value("wait") && matches_context(event);
        if (found || !args_.has("wait"))
            write_out(view_.line(event));
        return found;
    }

    const Args &args_;
    EventView view_;
    std::optional<Idset> ranks_;
    Hostlist hosts_;
};

int run_resource_eventlog(const Args &args, Session &flux)
{
    Journal journal(args);
    Timer alarm;
    if (args.has("wait") && args.has("timeout"))
        alarm = Timer(flux.loop(), seconds(args.duration("timeout", 0)), [&] {
            flux.handle().fail_all(
                Error(ETIMEDOUT, "no {} event within {}", args.value("wait"), args.value("timeout")));
        });
    bool found = flux.run(journal.show(flux.handle(), args.has("follow") || args.has("wait")));
    return args.has("wait") && !found ? 1 : 0;
}

} // namespace

const Command resource_eventlog {
    .name = "eventlog",
    .summary = "Show what became of nodes: online, offline, drain, ...",
    .options = {{"-f,--format=FORMAT", "text or json"},
                {"-T,--time-format=FORMAT", "raw, iso, offset, human"},
                {"-H,--human", "the same as -T human"},
                {"-L,--color[=WHEN]", "always, never or auto"},
                {"-F,--follow", "show each new event"},
                {"-w,--wait=EVENT", "show this event when it is there, then return"},
                {"-m,--match-context=KEY=VAL", "with --wait, only an event with this in its context"},
                {"-t,--timeout=FSD", "with --wait, give up after this time"},
                {"-i,--include=TARGETS", "only events of these hosts or ranks"}},
    .max_args = 0,
    .run = run_resource_eventlog,
};

} // namespace flux::cmd
