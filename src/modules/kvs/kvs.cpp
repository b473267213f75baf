#include "modules/kvs/kvs.hpp"

#include <unistd.h>

namespace flux::kvs {

Kvs::Kvs(Context &context) : Module(context)
{
    serve("lookup", role::any, &Kvs::lookup);
    serve("getroot", role::any, &Kvs::getroot);
    serve("wait-version", role::any, &Kvs::wait_version);
    serve("follow", role::owner, &Kvs::follow);
    serve("dropcache", role::owner, &Kvs::drop_cache);
    serve("stats-clear", role::owner, &Kvs::clear_stats);
    if (rank() > 0) {
        relay_requests();
        return;
    }
    serve("commit", role::any, &Kvs::commit);
    serve("fence", role::any, &Kvs::fence);
    handle().on_disconnect([this](const RouteId &sender) { leave_fences(sender, std::nullopt); });
    handle().on_cancel([this](const RouteId &sender, uint32_t matchtag) { leave_fences(sender, matchtag); });
    serve("namespace-create", role::owner, &Kvs::namespace_create);
    serve("namespace-remove", role::owner, &Kvs::namespace_remove);
    serve("namespace-list", role::any, &Kvs::namespace_list);
    serve_topic("kvs-watch.lookup", role::any, &Kvs::watch);
    serve_topic("kvs-watch.stats-get", role::any, &Kvs::watch_stats);
}

Task<> Kvs::start()
{
    co_await add_service("kvs-watch");
    hash_ = value_or_throw(parse_hash_type(context().attribute("content.hash").value_or("sha1")));
    if (rank() > 0)
        co_return;
    Json wanted {{"key", checkpoint_key}};
    Json value;
    try {
        Message answer = co_await rpc("content.checkpoint-get", std::move(wanted));
        value = answer.json().get<Json>("value");
    } catch (const Error &error) {
        if (error.errnum() != ENOENT)
            throw;
    }
    co_await make_empty_directory();
    auto rootref = value ? value.get<std::string>("rootref") : empty_root_;
    auto sequence = value ? value.value<int64_t>("sequence", 0) : 0;
    add_namespace(primary, next_id_++, uint32_t(getuid()), rootref, sequence);
    if (value)
        log(LogLevel::info, "restored namespace {} at version {}", primary, sequence);
}

Task<> Kvs::make_empty_directory()
{
    auto bytes = encode(Directory {});
    empty_root_ = blobref(hash_, bytes);
    std::vector<Batch::Blob> blobs {{empty_root_, digest(hash_, bytes), bytes}};
    co_await persist(std::move(blobs), {});
}

std::shared_ptr<Namespace> Kvs::add_namespace(std::string name, uint64_t id, uint32_t owner,
                                              std::string rootref, int64_t rootseq)
{
    auto space = std::make_shared<Namespace>(loop());
    space->name = name;
    space->id = id;
    space->owner = owner;
    space->rootref = std::move(rootref);
    space->rootseq = rootseq;
    namespaces_[std::move(name)] = space;
    return space;
}

std::shared_ptr<Namespace> Kvs::namespace_for(const std::string &name, const Credentials &credentials) const
{
    auto found = namespaces_.find(name);
    if (found == namespaces_.end())
        throw Error(ENOTSUP, "there is no KVS namespace {}", name);
    if (!credentials.is_owner() && found->second->owner != credentials.userid)
        throw Error(EPERM, "KVS namespace {} belongs to another user", name);
    return found->second;
}

Task<std::shared_ptr<Namespace>> Kvs::find_namespace(std::string name, Credentials credentials)
{
    if (rank() > 0 && !namespaces_.contains(name))
        co_await make_replica(name);
    auto space = namespace_for(name, credentials);
    space->used = true;
    co_return space;
}

Task<Json> Kvs::getroot(Request request)
{
    auto name = request.find<std::string>("namespace").value_or(primary);
    auto space = co_await find_namespace(name, request.credentials());
    co_return Json {{"owner", space->owner},
                    {"rootseq", space->rootseq},
                    {"rootref", space->rootref},
                    {"flags", 0},
                    {"namespace", space->name}};
}

Task<Json> Kvs::wait_version(Request request)
{
    auto name = request.find<std::string>("namespace").value_or(primary);
    auto wanted = request.get<int64_t>("rootseq");
    auto space = co_await find_namespace(name, request.credentials());
    struct Count {
        size_t &waiters;
        explicit Count(size_t &waiters) : waiters(++waiters) {}
        ~Count() { waiters--; }
    } count(space->version_waiters);
    while (space->rootseq < wanted && !space->removed)
        co_await space->changed.wait();
    if (space->removed)
        throw Error(ENOTSUP, "KVS namespace {} was removed", space->name);
    co_return Json {{"rootseq", space->rootseq}, {"rootref", space->rootref}};
}

// The first version after the one that the asking rank has.
Task<Json> Kvs::follow(Request request)
{
    auto name = request.get<std::string>("namespace");
    auto seen = request.get<int64_t>("rootseq");
    auto id = request.find<uint64_t>("id");
    auto space = co_await find_namespace(name, request.credentials());
    while (space->rootseq <= seen && !space->removed && space->id == id.value_or(space->id))
        co_await space->changed.wait();
    if (space->removed || space->id != id.value_or(space->id))
        throw Error(ENOTSUP, "KVS namespace {} was removed", name);
    space->used = true;
    co_return Json {
        {"id", space->id}, {"owner", space->owner}, {"rootref", space->rootref}, {"rootseq", space->rootseq}};
}

Json Kvs::namespace_create(Request &request)
{
    auto name = request.get<std::string>("namespace");
    auto rootref = request.find<std::string>("rootref").value_or(empty_root_);
    auto owner = request.find<int64_t>("owner").value_or(-1);
    if (name.empty())
        throw Error(EINVAL, "a KVS namespace needs a name");
    auto parts = value_or_throw(parse_blobref(rootref));
    if (parts.type != hash_)
        throw Error(EINVAL, "rootref {} has another hash than this instance's {}", rootref,
                    hash_type_name(hash_));
    if (namespaces_.contains(name))
        throw Error(EEXIST, "KVS namespace {} exists", name);
    bool nobody = owner < 0 || owner == userid_unknown;
    add_namespace(name, next_id_++, nobody ? request.credentials().userid : uint32_t(owner), rootref, 0);
    return {};
}

Json Kvs::namespace_remove(Request &request)
{
    auto name = request.get<std::string>("namespace");
    if (name == primary)
        throw Error(ENOTSUP, "KVS namespace {} cannot be removed", name);
    auto found = namespaces_.find(name);
    if (found == namespaces_.end())
        throw Error(ENOTSUP, "there is no KVS namespace {}", name);
    auto space = found->second;
    namespaces_.erase(found);
    space->remove();
    for (auto fence = fences_.begin(); fence != fences_.end();) {
        auto next = std::next(fence);
        if (fence->first.first == name) {
            fence_bytes_ -= fence->second.transaction.bytes;
            fence->second.transaction.fail(Error(ENOTSUP, "KVS namespace {} was removed", name));
            fences_.erase(fence);
        }
        fence = next;
    }
    return {};
}

Json Kvs::namespace_list(Request &request)
{
    Json list = Json::array();
    for (const auto &[name, space] : namespaces_)
        if (request.credentials().is_owner() || space->owner == request.credentials().userid)
            list.append(Json {{"namespace", name}, {"owner", space->owner}, {"flags", 0}});
    return Json {{"namespaces", list}};
}

Json Kvs::drop_cache(Request &)
{
    cache_.clear();
    return {};
}

Json Kvs::clear_stats(Request &)
{
    faults_ = 0;
    for (auto &[name, space] : namespaces_)
        space->transactions = space->unchanged_versions = 0;
    return {};
}

Json Kvs::stats() const
{
    constexpr double kib = 1024;
    Json spaces = Json::object();
    for (const auto &[name, space] : namespaces_)
        spaces.set(name, Json {{"#versionwaiters", space->version_waiters},
                               {"#no-op stores", space->unchanged_versions},
                               {"#transactions", space->transactions},
                               {"#readytransactions", space->queue.size()},
                               {"store revision", space->rootseq}});
    auto sizes = cache_.size_statistics();
    Json object_sizes {{"count", sizes.count},
                       {"min", sizes.min / kib},
                       {"mean", sizes.mean / kib},
                       {"stddev", sizes.deviation / kib},
                       {"max", sizes.max / kib}};
    Json cache {{"obj size total (MiB)", double(cache_.bytes()) / (kib * kib)},
                {"obj size (KiB)", object_sizes},
                {"#obj dirty", 0},
                {"#obj incomplete", 0},
                {"#faults", faults_}};
    return Json {{"cache", cache}, {"namespace", spaces}};
}

} // namespace flux::kvs

FLUX_MODULE(kvs, "kvs", flux::kvs::Kvs)
