// Modules that are loaded while other things happen.
#include <gtest/gtest.h>

#include "broker/broker.hpp"
#include "common/runtime/sim_loop.hpp"

using namespace flux;

namespace {

// Takes a while to start, and keeps what it was told.
class SlowStarter : public Module {
public:
    explicit SlowStarter(Context &context) : Module(context) { known = context.config(); }
    Task<> start() override { co_await sleep_for(loop(), std::chrono::seconds(1)); }
    void config_changed() override { known = context().config(); }
    static Json known;
};
Json SlowStarter::known;

Task<> load(Broker &broker)
{
    Json args {{"path", "slow-starter"}};
    co_await broker.handle().rpc("module.load", args);
}

Task<> change_config(Broker &broker, Json config)
{
    co_await broker.handle().rpc("config.load", config);
}

} // namespace

namespace flux {
FLUX_MODULE(slow_starter, "slow-starter", SlowStarter)
}

TEST(ModuleHost, a_module_hears_of_a_configuration_that_changes_while_it_starts)
{
    SimClock clock;
    SimLoop loop(clock);
    Random random(1);
    BrokerSetup setup;
    setup.platform.loop = &loop;
    setup.platform.random = &random;
    setup.config = Json {{"a", 1}};
    Broker broker(std::move(setup));
    Gate gate(loop);
    gate.spawn(load(broker));
    loop.run_until_time(loop.now() + std::chrono::milliseconds(500));
    EXPECT_EQ(SlowStarter::known.dump(), R"({"a":1})");
    gate.spawn(change_config(broker, Json {{"a", 2}}));
    loop.run_until_time(loop.now() + std::chrono::seconds(2));
    EXPECT_EQ(gate.size(), 0u);
    EXPECT_EQ(SlowStarter::known.dump(), R"({"a":2})");
}
