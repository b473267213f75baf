// heartbeat (rank 0): publishes the event heartbeat.pulse every [heartbeat] period, 2 s when nothing is configured.
// Whoever wants to do something now and then, in step with the other brokers, subscribes to it.
#include <cmath>

#include "common/module/module.hpp"
#include "common/types/duration.hpp"

namespace flux {

namespace {
constexpr double default_period_s = 2.0;
constexpr double shortest_period_s = 0.001;

double configured_period(const Json &config)
{
    const auto &heartbeat = config["heartbeat"];
    if (!heartbeat || !heartbeat.contains("period"))
        return default_period_s;
    auto period = value_or_throw(parse_duration(heartbeat.get<std::string>("period")));
    if (!std::isfinite(period) || period < shortest_period_s)
        throw Error(EINVAL, "heartbeat.period \"{}\": expected a finite duration of at least {} s",
                    heartbeat.get<std::string>("period"), shortest_period_s);
    return period;
}
} // namespace

class Heartbeat : public Module {
public:
    explicit Heartbeat(Context &context) : Module(context), period_s_(configured_period(context.config())) {}

    Task<> start() override
    {
        beat_ = handle().gate().spawn(beat());
        co_return;
    }
    void config_changed() override
    {
        period_s_ = configured_period(context().config());
        handle().gate().cancel(beat_);
        beat_ = handle().gate().spawn(beat());
    }
    Json stats() const override { return Json {{"period", period_s_}, {"count", count_}}; }

private:
    Task<> beat()
    {
        for (;;) {
            handle().publish("heartbeat.pulse");
            count_++;
            co_await sleep_for(loop(), seconds(period_s_));
        }
    }

    Gate::TaskId beat_ {};
    double period_s_;
    uint64_t count_ = 0;
};

FLUX_MODULE(heartbeat, "heartbeat", Heartbeat)

} // namespace flux
