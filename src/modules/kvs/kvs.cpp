#include "modules/kvs/kvs.hpp"

#include "common/kvs/flags.hpp"
#include "common/store/blob_frame.hpp"

namespace flux::kvs {

namespace {

constexpr const char *checkpoint_key = "kvs-primary";

Json root_json(const Namespace &space)
{
    return Json {{"rootref", space.rootref}, {"rootseq", space.rootseq}};
}

} // namespace

Kvs::Kvs(Context &context) : Module(context)
{
    if (rank() == 0)
        serve_requests();
    else
        relay_requests();
}

void Kvs::serve_requests()
{
    serve("commit", role::any, &Kvs::commit);
    serve("lookup", role::any, &Kvs::lookup);
    serve("getroot", role::any, &Kvs::getroot);
    serve("wait-version", role::any, &Kvs::wait_version);
    serve("namespace-create", role::owner, &Kvs::namespace_create);
    serve("namespace-remove", role::owner, &Kvs::namespace_remove);
    serve("namespace-list", role::any, &Kvs::namespace_list);
    serve_topic("kvs-watch.lookup", role::any, &Kvs::watch);
}

Task<> Kvs::start()
{
    co_await add_service("kvs-watch");
    if (rank() > 0)
        co_return;
    hash_ = value_or_throw(parse_hash_type(context().attribute("content.hash").value_or("sha1")));
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
    add_namespace(primary, uint32_t(getuid()), rootref, value ? value.value<int64_t>("sequence", 0) : 0);
    if (value)
        log(LogLevel::info, "restored namespace {} at version {}", primary,
            value.value<int64_t>("sequence", 0));
}

Task<> Kvs::make_empty_directory()
{
    auto bytes = encode(Directory {});
    empty_root_ = blobref(hash_, bytes);
    std::vector<Batch::Blob> blobs {{empty_root_, bytes}};
    co_await persist(std::move(blobs), {});
}

std::shared_ptr<Namespace> Kvs::add_namespace(std::string name, uint32_t owner, std::string rootref,
                                              int64_t rootseq)
{
    auto space = std::make_shared<Namespace>(loop());
    space->name = name;
    space->owner = owner;
    space->rootref = std::move(rootref);
    space->rootseq = rootseq;
    namespaces_[std::move(name)] = space;
    return space;
}

std::shared_ptr<Namespace> Kvs::namespace_for(const std::string &name, const Credentials &credentials)
{
    auto found = namespaces_.find(name);
    if (found == namespaces_.end())
        throw Error(ENOTSUP, "there is no KVS namespace {}", name);
    if (!credentials.is_owner() && found->second->owner != credentials.userid)
        throw Error(EPERM, "KVS namespace {} belongs to another user", name);
    return found->second;
}

std::shared_ptr<Namespace> Kvs::namespace_of(const Request &request)
{
    return namespace_for(request.find<std::string>("namespace").value_or(primary), request.credentials());
}

// ---- commit

void Kvs::commit(Request request)
{
    try {
        auto space = namespace_of(request);
        Json ops = request.get<Json>("ops");
        int flags = request.find<int>("flags").value_or(0);
        space->queue.push_back({std::move(request), std::move(ops), flags});
        if (!std::exchange(space->committing, true))
            spawn(run_commits(space));
    } catch (const Error &error) {
        request.fail(error);
    }
}

Task<> Kvs::run_commits(std::shared_ptr<Namespace> space)
{
    // Let what has already arrived join the first batch.
    co_await sleep_for(loop(), Duration::zero());
    while (!space->queue.empty() && !space->removed) {
        std::vector<Namespace::Transaction> transactions;
        while (!space->queue.empty() && transactions.size() < max_batch) {
            bool alone = space->queue.front().flags & commit_no_merge;
            if (alone && !transactions.empty())
                break;
            transactions.push_back(std::move(space->queue.front()));
            space->queue.pop_front();
            if (alone)
                break;
        }
        co_await commit_batch(space, std::move(transactions));
        cache_.trim();
    }
    space->committing = false;
}

Task<Batch> Kvs::open_batch(std::shared_ptr<Namespace> space)
{
    if (!cache_.find(space->rootref))
        co_await fetch_directory(space->rootref);
    co_return Batch(cache_, space->rootref, hash_);
}

Task<> Kvs::apply(Batch &batch, const Json &ops)
{
    while (true) {
        std::optional<NeedBlob> need;
        try {
            batch.apply(ops);
            co_return;
        } catch (const NeedBlob &missing) {
            need = missing;
        }
        co_await fetch_directory(need->blobref);
    }
}

Task<> Kvs::commit_batch(std::shared_ptr<Namespace> space, std::vector<Namespace::Transaction> transactions)
{
    std::optional<Error> failed;
    Batch::Result result;
    try {
        Batch batch = co_await open_batch(space);
        for (auto &transaction : transactions) {
            try {
                co_await apply(batch, transaction.ops);
            } catch (const Error &error) {
                transaction.request.fail(error);
            }
        }
        result = batch.finish();
        Json checkpoints;
        if (space->name == primary) {
            Json value {{"version", 1},
                        {"rootref", result.rootref},
                        {"sequence", space->rootseq + 1},
                        {"timestamp", wall_time()}};
            checkpoints = Json {{checkpoint_key, value}};
        }
        co_await persist(std::move(result.blobs), checkpoints);
    } catch (const Error &error) {
        failed = error;
    }
    if (!failed && space->removed)
        failed = Error(ENOTSUP, "KVS namespace {} was removed", space->name);
    if (failed)
        cache_.clear(); // it has directories that are not stored
    else {
        space->rootref = result.rootref;
        space->rootseq++;
        space->versions++;
    }
    for (auto &transaction : transactions) {
        if (transaction.request.ended())
            continue;
        space->transactions++;
        if (failed)
            transaction.request.fail(*failed);
        else
            transaction.request.respond(root_json(*space));
    }
    if (!failed)
        space->notify(result.mentions);
}

Task<> Kvs::persist(std::vector<Batch::Blob> blobs, Json checkpoints)
{
    std::vector<std::string_view> views;
    for (const auto &blob : blobs)
        views.push_back(blob.bytes);
    auto payload = Payload::raw(encode_blob_frame(views, checkpoints));
    co_await rpc("content.commit", std::move(payload));
}

// ---- lookup

Task<std::string> Kvs::load(std::string blobref)
{
    faults_++;
    auto parts = value_or_throw(parse_blobref(blobref));
    auto payload = Payload::raw(parts.digest);
    Message answer = co_await rpc("content.load", std::move(payload));
    co_return std::string(answer.payload.bytes());
}

Task<> Kvs::fetch_directory(std::string blobref)
{
    auto bytes = co_await load(blobref);
    cache_.add(blobref, decode_directory(bytes));
}

Task<std::string> Kvs::load_value(std::shared_ptr<const std::vector<std::string>> blobrefs)
{
    std::string value;
    for (const auto &blobref : *blobrefs)
        value += co_await load(blobref);
    co_return value;
}

Task<Kvs::View> Kvs::look(std::string space, std::string rootref, Path path, int flags,
                          Credentials credentials)
{
    View view;
    auto root_of = [&](const std::string &name) {
        return namespace_for(name, credentials)->rootref;
    };
    while (true) {
        std::optional<NeedBlob> need;
        Answer answer;
        try {
            auto found = find(cache_, root_of, space, rootref, path, follows_last(flags));
            view.trail = found.trail;
            answer = interpret(cache_, found, flags);
        } catch (const NeedBlob &missing) {
            need = missing;
        } catch (const Error &error) {
            view.error = error;
            co_return view;
        }
        if (need) {
            co_await fetch_directory(need->blobref);
            continue;
        }
        view.object = answer.object;
        if (answer.blobrefs) {
            auto value = co_await load_value(answer.blobrefs);
            view.object = treeobj::make_val(value);
        }
        co_return view;
    }
}

Task<Json> Kvs::lookup(Request request)
{
    auto path = value_or_throw(parse_key(request.get<std::string>("key")));
    int flags = request.find<int>("flags").value_or(0);
    std::string name = request.find<std::string>("namespace").value_or(primary);
    std::string rootref;
    if (Json rootdir = request.json()["rootdir"]) {
        // A snapshot belongs to no namespace, so that only the owner's reach can be granted to it.
        if (!request.credentials().is_owner())
            throw Error(EPERM, "only the instance owner may look up in a snapshot");
        if (auto valid = treeobj::validate(rootdir); !valid || !treeobj::is_dirref(rootdir))
            throw Error(EINVAL, "rootdir is no dirref");
        rootref = treeobj::blobrefs(rootdir).at(0);
    } else {
        rootref = namespace_for(name, request.credentials())->rootref;
    }
    auto view = co_await look(name, rootref, path, flags, request.credentials());
    if (view.error)
        throw *view.error;
    co_return Json {{"val", view.object}};
}

// ---- namespaces and versions

Json Kvs::getroot(Request &request)
{
    auto space = namespace_of(request);
    return Json {{"owner", space->owner},
                 {"rootseq", space->rootseq},
                 {"rootref", space->rootref},
                 {"flags", 0},
                 {"namespace", space->name}};
}

Task<Json> Kvs::wait_version(Request request)
{
    auto space = namespace_of(request);
    auto wanted = request.get<int64_t>("rootseq");
    while (space->rootseq < wanted && !space->removed)
        co_await space->changed.wait();
    if (space->removed)
        throw Error(ENOTSUP, "KVS namespace {} was removed", space->name);
    co_return Json {{"rootseq", space->rootseq}, {"rootref", space->rootref}};
}

Task<Json> Kvs::namespace_create(Request request)
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
    add_namespace(name, nobody ? request.credentials().userid : uint32_t(owner), rootref, 0);
    co_return Json();
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

Json Kvs::stats() const
{
    Json spaces = Json::object();
    for (const auto &[name, space] : namespaces_)
        spaces.set(name, Json {{"#transactions", int64_t(space->transactions)},
                               {"#readytransactions", int64_t(space->queue.size())},
                               {"#watchedkeys", int64_t(space->exact.size())},
                               {"#versions", int64_t(space->versions)},
                               {"store revision", space->rootseq}});
    Json cache {{"obj size total (MiB)", double(cache_.bytes()) / (1 << 20)},
                {"#obj", int64_t(cache_.size())},
                {"#faults", int64_t(faults_)}};
    return Json {{"cache", cache}, {"namespace", spaces}};
}

// ---- on other ranks

void Kvs::relay_requests()
{
    for (auto method : {"commit", "lookup", "getroot", "wait-version", "namespace-create", "namespace-remove",
                        "namespace-list"})
        serve(method, role::any, &Kvs::relay);
    serve_topic("kvs-watch.lookup", role::any, &Kvs::relay_stream);
}

// The request goes on with the credentials of the one who made it.
Task<> Kvs::relay(Request request)
{
    Message copy = Message::request(request.message().topic, request.message().payload);
    copy.credentials = request.credentials();
    RpcOptions to_root {.nodeid = 0};
    Message answer = co_await Rpc(handle(), std::move(copy), to_root);
    request.respond(answer.payload);
}

Task<> Kvs::relay_stream(Request request)
{
    Message copy = Message::request(request.message().topic, request.message().payload);
    copy.credentials = request.credentials();
    if (request.is_streaming())
        copy.flags |= message_flag::streaming;
    Stream stream(handle(), std::move(copy), {.nodeid = 0}, "kvs-watch.cancel");
    while (auto answer = co_await stream.next()) {
        request.respond(answer->payload);
        if (!request.is_streaming())
            break;
    }
}

} // namespace flux::kvs

FLUX_MODULE(kvs, "kvs", flux::kvs::Kvs)
