#include "common/client/handle.hpp"

namespace flux {

namespace handle_detail {

Pending::Pending(Handle &handle, Message request, const RpcOptions &options)
    : handle_(&handle), matchtag_(handle.next_matchtag_++)
{
    if (handle.next_matchtag_ == matchtag_none)
        handle.next_matchtag_++;
    if (handle.failed_)
        return;
    handle.pending_[matchtag_] = this;
    request.nodeid = options.nodeid;
    request.flags |= options.flags;
    request.matchtag = matchtag_;
    if (options.timeout > Duration::zero())
        timer_ = Timer(handle.loop(), options.timeout, [this, topic = request.topic, timeout = options.timeout] {
            Message response;
            response.type = MessageType::response;
            response.errnum = ETIMEDOUT;
            response.payload = Payload::text(fmt::format("{}: no answer within {} s", topic, to_seconds(timeout)));
            deliver(std::move(response));
        });
    handle.send(std::move(request));
}

Pending::~Pending()
{
    if (handle_)
        handle_->pending_.erase(matchtag_);
}

} // namespace handle_detail

// ---- Rpc

bool Rpc::await_ready() const noexcept
{
    return response_ || !handle_ || handle_->failed_;
}

Message Rpc::await_resume()
{
    if (!response_ && handle_ && handle_->failed_)
        throw *handle_->failed_;
    FLUX_ASSERT(response_);
    if (response_->errnum != 0)
        throw response_->to_error();
    return std::move(*response_);
}

void Rpc::deliver(Message response)
{
    if (response_)
        return;
    response_ = std::move(response);
    timer_.cancel();
    waiter_.wake(handle_->loop());
}

// ---- Stream

struct Stream::State : handle_detail::Pending {
    State(Handle &handle, Message request, const RpcOptions &options, std::string cancel_topic)
        : Pending(handle, std::move(request), options), responses(handle.loop()), cancel_topic(std::move(cancel_topic)),
          nodeid(options.nodeid)
    {
        if (handle.failed_) {
            error = handle.failed_;
            responses.close();
        }
    }
    void deliver(Message response) override
    {
        if (response.errnum == 0) {
            responses.push(std::move(response));
            return;
        }
        if (response.errnum != ENODATA)
            error = response.to_error();
        ended = true;
        responses.close();
    }
    void cancel()
    {
        if (!ended && !cancelled && handle_ && !handle_->failed_ && !cancel_topic.empty())
            handle_->notify(cancel_topic, Json {{"matchtag", matchtag_}}, {.nodeid = nodeid});
        cancelled = true;
    }
    Channel<Message> responses;
    std::string cancel_topic;
    uint32_t nodeid;
    std::optional<Error> error;
    bool ended = false;
    bool cancelled = false;
    friend class Stream;
};

Stream::Stream(Handle &handle, Message request, const RpcOptions &options, std::string cancel_topic)
    : state_(std::make_unique<State>(handle, std::move(request), options, std::move(cancel_topic)))
{}

Stream::Stream(Stream &&) noexcept = default;
Stream &Stream::operator=(Stream &&) noexcept = default;

Stream::~Stream()
{
    if (state_)
        state_->cancel();
}

Task<std::optional<Message>> Stream::next()
{
    auto response = co_await state_->responses.next();
    if (!response && state_->error)
        throw *state_->error;
    co_return response;
}

uint32_t Stream::matchtag() const
{
    return state_->matchtag();
}

void Stream::cancel()
{
    state_->cancel();
}

// ---- EventStream

EventStream::EventStream(Handle &handle, std::string prefix)
    : handle_(handle), prefix_(std::move(prefix)), channel_(handle.loop())
{
    handle_.event_streams_.push_back(this);
    handle_.subscription_changed(prefix_, true);
}

EventStream::~EventStream()
{
    std::erase(handle_.event_streams_, this);
    handle_.subscription_changed(prefix_, false);
}

// ---- Handle

Handle::Handle(Loop &loop, Send send)
    : loop_(loop), send_(std::move(send)), self_(std::make_shared<Handle *>(this)), gate_(loop)
{}

Handle::~Handle()
{
    *self_ = nullptr;
    for (auto &[tag, pending] : pending_)
        pending->handle_ = nullptr;
}

Rpc Handle::rpc(std::string topic, Payload payload, RpcOptions options)
{
    return Rpc(*this, Message::request(std::move(topic), std::move(payload)), options);
}

Stream Handle::stream(std::string topic, Payload payload, RpcOptions options, std::string cancel_topic)
{
    auto request = Message::request(std::move(topic), std::move(payload));
    request.flags |= message_flag::streaming;
    return Stream(*this, std::move(request), options, std::move(cancel_topic));
}

void Handle::notify(std::string topic, Payload payload, RpcOptions options)
{
    auto request = Message::request(std::move(topic), std::move(payload), options.nodeid);
    request.flags = options.flags | message_flag::noresponse;
    send(std::move(request));
}

void Handle::publish(std::string topic, Payload payload)
{
    send(Message::event(std::move(topic), std::move(payload)));
}

std::unique_ptr<EventStream> Handle::subscribe(std::string prefix)
{
    return std::make_unique<EventStream>(*this, std::move(prefix));
}

void Handle::on_event(std::string prefix, std::function<void(const Message &)> fn)
{
    event_hooks_.emplace_back(prefix, std::move(fn));
    subscription_changed(prefix, true);
}

void Handle::subscription_changed(const std::string &prefix, bool added)
{
    int &count = subscriptions_[prefix];
    count += added ? 1 : -1;
    if (added ? count == 1 : count == 0)
        notify(added ? "event.subscribe" : "event.unsubscribe", Json {{"topic", prefix}});
}

void Handle::serve(std::string topic, uint32_t roles, CoroutineHandler handler)
{
    services_[std::move(topic)] = std::make_shared<Service>(Service {roles, std::move(handler)});
}

void Handle::serve(std::string topic, uint32_t roles, StreamHandler handler)
{
    services_[std::move(topic)] = std::make_shared<Service>(Service {roles, std::move(handler)});
}

void Handle::serve(std::string topic, uint32_t roles, PlainHandler handler)
{
    services_[std::move(topic)] = std::make_shared<Service>(Service {roles, std::move(handler)});
}

void Handle::serve(std::string topic, uint32_t roles, KeepingHandler handler)
{
    services_[std::move(topic)] = std::make_shared<Service>(Service {roles, std::move(handler)});
}

void Handle::serve_rest(uint32_t roles, KeepingHandler handler)
{
    rest_ = std::make_shared<Service>(Service {roles, std::move(handler)});
}

void Handle::receive(Message message)
{
    switch (message.type) {
    case MessageType::response:
        if (auto pending = pending_.find(message.matchtag); pending != pending_.end())
            pending->second->deliver(std::move(message));
        break;
    case MessageType::request:
        dispatch_request(std::move(message));
        break;
    case MessageType::event:
        dispatch_event(message);
        break;
    case MessageType::control:
        break;
    }
}

void Handle::fail_all(const Error &error)
{
    failed_ = error;
    Message response;
    response.type = MessageType::response;
    response.errnum = uint32_t(error.errnum());
    response.payload = Payload::text(error.text());
    auto pending = pending_;
    for (auto &[tag, waiting] : pending)
        if (pending_.contains(tag))
            waiting->deliver(response);
    for (auto *stream : event_streams_)
        stream->channel_.close();
}

void Handle::dispatch_event(const Message &message)
{
    for (auto *stream : event_streams_)
        if (message.matches(stream->prefix_))
            stream->channel_.push(message);
    for (size_t i = 0; i < event_hooks_.size(); i++)
        if (message.matches(event_hooks_[i].first))
            event_hooks_[i].second(message);
}

void Handle::dispatch_request(Message message)
{
    std::string_view topic = message.topic;
    auto found = services_.find(topic);
    auto service = found == services_.end() ? nullptr : found->second;
    if (!service) {
        bool disconnect = topic.ends_with(".disconnect");
        if (disconnect || topic.ends_with(".cancel") || topic.ends_with("-cancel")) {
            cancel_handlers(message, disconnect);
            return;
        }
        service = rest_;
    }
    if (!service) {
        if (message.wants_response())
            send(Message::error_response_to(message, Error(ENOSYS, "Unknown service method {}", topic)));
        return;
    }
    if (!message.credentials.is_owner() && !(message.credentials.rolemask & service->roles)) {
        if (message.wants_response())
            send(Message::error_response_to(
                message, Error(EPERM, "{}: only the instance owner may ask for this", topic)));
        return;
    }
    start_handler(Request(self_, std::move(message)), *service);
}

void Handle::start_handler(Request request, Service &service)
{
    auto answer = request.share();
    try {
        if (auto *keeping = std::get_if<KeepingHandler>(&service.handler)) {
            (*keeping)(std::move(request));
            return;
        }
        if (auto *plain = std::get_if<PlainHandler>(&service.handler)) {
            answer.respond((*plain)(request));
            return;
        }
    } catch (const Error &error) {
        answer.fail(error);
        return;
    }
    auto id = next_running_++;
    running_[id] = {request.sender(), std::string(request.message().service()), request.state_, 0};
    Gate::TaskId task = 0;
    if (auto *coroutine = std::get_if<CoroutineHandler>(&service.handler))
        task = gate_.spawn(run_coroutine(*coroutine, std::move(request), id));
    else
        task = gate_.spawn(run_stream(std::get<StreamHandler>(service.handler), std::move(request), id));
    if (auto entry = running_.find(id); entry != running_.end())
        entry->second.task = task;
}

namespace {

// Takes a running handler out of the table however its coroutine ends.
template <class Table>
struct Erase {
    Table &table;
    uint64_t id;
    ~Erase() { table.erase(id); }
};

} // namespace

// Handlers live in shared_ptr<Service> entries that are never removed, so the reference holds.
Task<> Handle::run_coroutine(CoroutineHandler &handler, Request request, uint64_t running_id)
{
    Erase<decltype(running_)> erase {running_, running_id};
    auto answer = request.share();
    try {
        auto result = co_await handler(std::move(request));
        answer.respond(std::move(result));
    } catch (const Error &error) {
        answer.fail(error);
    }
}

Task<> Handle::run_stream(StreamHandler &handler, Request request, uint64_t running_id)
{
    Erase<decltype(running_)> erase {running_, running_id};
    auto answer = request.share();
    try {
        co_await handler(std::move(request));
        answer.finish();
    } catch (const Error &error) {
        answer.fail(error);
    }
}

void Handle::cancel_handlers(const Message &message, bool disconnect)
{
    auto sender = message.sender();
    auto service = message.service();
    uint32_t matchtag = 0;
    if (!disconnect) {
        try {
            if (!message.json())
                return;
            matchtag = message.json().get<uint32_t>("matchtag");
        } catch (const Error &) {
            return; // a cancel request gets no answer (RFC 6), not even this one
        }
    }
    bool found = false;
    for (auto &[id, running] : running_) {
        auto state = running.request.lock();
        if (!state || !(running.sender == sender) || running.service != service ||
            (!disconnect && state->message.matchtag != matchtag))
            continue;
        state->cancelled = true;
        state->ended |= disconnect; // nobody is there to be answered
        gate_.cancel(running.task);
        found = true;
    }
    if (disconnect)
        for (auto &hook : disconnect_hooks_)
            hook(sender);
    else if (!found)
        for (auto &hook : cancel_hooks_)
            hook(sender, matchtag);
}

} // namespace flux
