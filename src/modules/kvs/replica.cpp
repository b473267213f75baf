// Ranks other than 0: relaying what changes the namespaces, following their versions.
#include "modules/kvs/kvs.hpp"

namespace flux::kvs {

void Kvs::relay_requests()
{
    for (auto method : {"commit", "namespace-create", "namespace-remove", "namespace-list"})
        serve(method, role::any, &Kvs::relay);
    serve("fence", role::any, &Kvs::relay_fence);
    serve_topic("kvs-watch.lookup", role::any, &Kvs::relay_stream);
}

namespace {

// The request goes on with the credentials of the one who made it.
Message copy_of(const Request &request)
{
    Message copy = Message::request(request.message().topic, request.message().payload);
    copy.credentials = request.credentials();
    return copy;
}

} // namespace

Task<> Kvs::relay(Request request)
{
    RpcOptions to_root {.nodeid = 0};
    Message answer = co_await Rpc(handle(), copy_of(request), to_root);
    if (answer.payload && answer.json().contains("rootseq"))
        adopt(request.find<std::string>("namespace").value_or(primary), answer.json());
    request.respond(answer.payload);
}

// Rank 0 is told when the one who waits for the others has gone.
Task<> Kvs::relay_fence(Request request)
{
    Stream fence(handle(), copy_of(request), {.nodeid = 0}, "kvs.cancel");
    auto answer = co_await fence.next();
    if (!answer)
        throw Error(EPROTO, "{} ended without an answer", request.message().topic);
    adopt(request.find<std::string>("namespace").value_or(primary), answer->json());
    request.respond(answer->payload);
}

Task<> Kvs::relay_stream(Request request)
{
    if (!request.json())
        throw Error(EPROTO, "{}: the request has no payload", request.message().topic);
    auto name = request.find<std::string>("namespace").value_or(primary);
    Json args = request.json().shallow_copy();
    args.set("relayed", true); // the answers tell their version
    Message copy = Message::request(request.message().topic, args);
    copy.credentials = request.credentials();
    if (request.is_streaming())
        copy.flags |= message_flag::streaming;
    Stream stream(handle(), std::move(copy), {.nodeid = 0}, "kvs-watch.cancel");
    while (auto answer = co_await stream.next()) {
        adopt(name, answer->json());
        request.respond(Json {{"val", answer->json()["val"]}});
        if (!request.is_streaming())
            break;
    }
}

// From rank 0 itself, so that it is not older than anything that this rank has written.
Task<std::shared_ptr<Namespace>> Kvs::make_replica(std::string name)
{
    Json args {{"namespace", name}, {"rootseq", -1}};
    RpcOptions to_root {.nodeid = 0};
    Message answer = co_await handle().rpc("kvs.follow", args, to_root);
    const Json &root = answer.json();
    auto id = root.get<uint64_t>("id");
    if (auto found = namespaces_.find(name); found != namespaces_.end() && found->second->id == id) {
        adopt(name, root);
        co_return found->second;
    }
    auto space = add_namespace(name, id, root.get<uint32_t>("owner"), root.get<std::string>("rootref"),
                               root.get<int64_t>("rootseq"));
    spawn(follow_parent(space));
    co_return space;
}

// Asks rank 0 whether there is a newer version than the replica's; true when there is.
Task<bool> Kvs::refresh(std::shared_ptr<Namespace> space)
{
    auto seen = space->rootseq;
    Json args {{"namespace", space->name}, {"rootseq", -1}};
    RpcOptions to_root {.nodeid = 0};
    Message answer = co_await handle().rpc("kvs.follow", args, to_root);
    if (answer.json().get<uint64_t>("id") != space->id)
        throw Error(ENOTSUP, "KVS namespace {} was removed", space->name);
    adopt(space->name, answer.json());
    co_return space->rootseq > seen;
}

void Kvs::adopt(const std::string &name, const Json &root)
{
    auto found = namespaces_.find(name);
    if (found == namespaces_.end())
        return;
    auto &space = *found->second;
    auto rootseq = root.value<int64_t>("rootseq", -1);
    if (rootseq <= space.rootseq)
        return;
    space.rootref = root.get<std::string>("rootref");
    space.rootseq = rootseq;
    space.changed.notify_all();
    cache_.trim();
}

Task<> Kvs::follow_parent(std::shared_ptr<Namespace> space)
{
    int idle = 0;
    try {
        while (idle < idle_versions || space->version_waiters > 0) {
            Json seen {{"namespace", space->name}, {"id", space->id}, {"rootseq", space->rootseq}};
            Message answer = co_await upstream("kvs.follow", std::move(seen));
            adopt(space->name, answer.json());
            idle = std::exchange(space->used, false) ? 0 : idle + 1;
        }
    } catch (const Error &error) {
        space->removed = true;
    }
    // Who looks again, makes a new one.
    if (auto found = namespaces_.find(space->name); found != namespaces_.end() && found->second == space)
        namespaces_.erase(found);
    space->changed.notify_all();
}

} // namespace flux::kvs
