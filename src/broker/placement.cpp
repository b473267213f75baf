#include "broker/placement.hpp"

#include <csignal>
#include <thread>

#include "broker/broker.hpp"
#include "common/runtime/mailbox.hpp"

namespace flux {

namespace {

constexpr size_t longest_thread_name = 15; // bytes, as Linux has it

void send_to_router(Broker &broker, const RouteId &id, const std::string &name, Message message)
{
    if (message.credentials.rolemask == role::none)
        message.credentials = {broker.owner(), role::owner | role::local};
    if (broker.module_tracer().active()) [[unlikely]]
        broker.module_tracer().note(name, Tracer::Way::sent, message);
    broker.router().receive(id, std::move(message));
}

class SharedPlacement : public Placement {
public:
    SharedPlacement(Broker &broker, RouteId id, ModuleActor::Setup setup)
        : actor_(complete(broker, id, std::move(setup)))
    {
    }
    Task<> start() override { return actor_.start(); }
    Task<> stop() override { return actor_.stop(); }
    void deliver(Message message) override
    {
        actor_.handle().post([this, message = std::move(message)]() mutable { actor_.receive(std::move(message)); });
    }
    bool is_running() const override { return actor_.is_running(); }
    size_t receive_queue() const override { return actor_.waiting(); }
    size_t send_queue() const override { return 0; }

private:
    static ModuleActor::Setup complete(Broker &broker, RouteId id, ModuleActor::Setup setup)
    {
        setup.platform = broker.platform();
        setup.send = [&broker, id, name = setup.name](Message message) {
            send_to_router(broker, id, name, std::move(message));
        };
        setup.log = [&broker, name = setup.name](LogLevel level, std::string text) {
            broker.log(level, name, std::move(text));
        };
        return setup;
    }
    ModuleActor actor_;
};

// The broker's thread and the module's share the mailboxes, and the flags that are atomic; the actor belongs to the
// module's thread from the start of that to its end.
class ThreadPlacement : public Placement {
public:
    ThreadPlacement(Broker &broker, RouteId id, ModuleActor::Setup setup)
        : broker_(broker), world_(broker.new_thread_world()),
          outbox_(*broker.platform().loop,
                  [&broker, id, name = setup.name](Message message) {
                      send_to_router(broker, id, name, std::move(message));
                  }),
          inbox_(loop(), [this](Message message) {
              actor_->receive(std::move(message));
              running_ = actor_->is_running();
          })
    {
        setup.platform = world_->platform();
        setup.send = [this](Message message) { outbox_.push(std::move(message)); };
        setup.log = [&broker, alive = alive_, name = setup.name](LogLevel level, std::string text) {
            broker.platform().loop->post_from_any_thread([&broker, alive, level, name, text = std::move(text)] {
                if (*alive)
                    broker.log(level, name, text);
            });
        };
        auto setup_name = setup.name;
        setup_ = std::move(setup);
        // Signals are the broker's business.
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        thread_ = std::thread([this] { live(); });
        pthread_setname_np(thread_.native_handle(), setup_name.substr(0, longest_thread_name).c_str());
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }
    ~ThreadPlacement() override
    {
        loop().post_from_any_thread([this] { loop().stop(); });
        thread_.join();
        outbox_.drain(); // what it said last
        *alive_ = false;
    }
    Task<> start() override
    {
        return ask([this] { return actor_->start(); });
    }
    Task<> stop() override
    {
        return ask([this] { return actor_->stop(); });
    }
    void deliver(Message message) override { inbox_.push(std::move(message)); }
    bool is_running() const override { return running_; }
    size_t receive_queue() const override { return inbox_.size(); }
    size_t send_queue() const override { return outbox_.size(); }

private:
    using Outcome = std::optional<Error>;

    Loop &loop() { return *world_->platform().loop; }
    // The thread, from its first step to its last.
    void live()
    {
        actor_ = std::make_unique<ModuleActor>(std::move(setup_));
        loop().run();
        actor_.reset(); // may still say something
        inbox_.close();
    }
    // Has the module's thread run a task of the actor, and awaits its end from the broker's.
    Task<> ask(std::function<Task<>()> what)
    {
        auto done = std::make_shared<Promise<Outcome>>(*broker_.platform().loop);
        auto future = done->future();
        loop().post_from_any_thread([this, what = std::move(what), done = std::move(done)]() mutable {
            actor_->spawn(run(what(), std::move(done)));
        });
        auto outcome = co_await future;
        if (outcome)
            throw *outcome;
    }
    Task<> run(Task<> task, std::shared_ptr<Promise<Outcome>> done)
    {
        Outcome outcome;
        try {
            co_await std::move(task);
        } catch (const Error &error) {
            outcome = error;
        }
        running_ = actor_->is_running();
        broker_.platform().loop->post_from_any_thread(
            [done = std::move(done), outcome = std::move(outcome)]() mutable { done->set(std::move(outcome)); });
    }

    Broker &broker_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); // looked at by the broker's thread only
    std::unique_ptr<ThreadWorld> world_;
    ModuleActor::Setup setup_; // until the thread has taken it
    Mailbox<Message> outbox_;  // to the broker
    Mailbox<Message> inbox_;   // to the module
    std::unique_ptr<ModuleActor> actor_;
    std::atomic<bool> running_ = false;
    std::thread thread_;
};

} // namespace

std::unique_ptr<Placement> place_on_broker_loop(Broker &broker, RouteId id, ModuleActor::Setup setup)
{
    return std::make_unique<SharedPlacement>(broker, id, std::move(setup));
}

std::unique_ptr<Placement> place_on_thread(Broker &broker, RouteId id, ModuleActor::Setup setup)
{
    return std::make_unique<ThreadPlacement>(broker, id, std::move(setup));
}

} // namespace flux
