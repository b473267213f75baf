// Lookups, on every rank.
#include "common/kvs/flags.hpp"
#include "modules/kvs/kvs.hpp"

namespace flux::kvs {

namespace {

// A symlink leads to a namespace whose root is not here yet.
struct NeedNamespace {
    std::string name;
};

} // namespace

Task<std::string> Kvs::load(std::string blobref)
{
    faults_++;
    auto parts = value_or_throw(parse_blobref(blobref));
    auto payload = Payload::raw(parts.digest);
    Message answer = co_await rpc("content.load", std::move(payload));
    co_return std::string(answer.payload.bytes());
}

Task<DirectoryCache::Pointer> Kvs::fetch_directory(std::string blobref)
{
    auto bytes = co_await load(blobref);
    DirectoryCache::Pointer directory = decode_directory(bytes);
    cache_.add(blobref, directory, true);
    co_return directory;
}

// One blob can be named as often as one likes: how long the value gets is known before it is put together.
Task<std::string> Kvs::load_value(std::shared_ptr<const std::vector<std::string>> blobrefs, size_t first)
{
    std::unordered_map<std::string_view, size_t> times;
    for (size_t i = first; i < blobrefs->size(); i++)
        times[(*blobrefs)[i]]++;
    std::string value;
    size_t length = 0;
    for (size_t i = first; i < blobrefs->size(); i++) {
        auto bytes = co_await load((*blobrefs)[i]);
        length += bytes.size() * std::exchange(times[(*blobrefs)[i]], 0);
        if (length > max_value_length)
            throw Error(EFBIG, "a value of {} bytes or more is too long: at most {} are put together", length,
                        max_value_length);
        value += bytes;
    }
    co_return value;
}

Task<Json> Kvs::list(DirectoryCache::Pointer directory)
{
    Listing listing(std::move(directory));
    while (true) {
        std::optional<NeedBlob> need;
        try {
            co_return listing.run(cache_);
        } catch (const NeedBlob &missing) {
            need = missing;
        }
        co_await fetch_directory(need->blobref);
    }
}

Task<Kvs::View> Kvs::look(std::string space, std::string rootref, Path path, int flags,
                          Credentials credentials)
{
    View view;
    auto root_of = [&](const std::string &name) {
        if (rank() > 0 && !namespaces_.contains(name))
            throw NeedNamespace {name};
        return view.roots[name] = namespace_for(name, credentials)->rootref;
    };
    while (true) {
        std::optional<NeedBlob> need;
        std::optional<NeedNamespace> need_space;
        Answer answer;
        view.roots = {{space, rootref}};
        try {
            auto found = find(cache_, root_of, space, rootref, path, follows_last(flags));
            view.trail = found.trail;
            answer = interpret(cache_, found, flags);
        } catch (const NeedBlob &missing) {
            need = missing;
        } catch (const NeedNamespace &missing) {
            need_space = missing;
        } catch (const Error &error) {
            view.error = error;
            co_return view;
        }
        if (need) {
            co_await fetch_directory(need->blobref);
            continue;
        }
        if (need_space) {
            co_await find_namespace(need_space->name, credentials);
            continue;
        }
        view.object = answer.object;
        view.blobrefs = answer.blobrefs;
        if (answer.directory)
            view.object = co_await list(answer.directory);
        co_return view;
    }
}

// Loads the value's blobs.
Task<> Kvs::complete(View &view)
{
    if (view.object || !view.blobrefs)
        co_return;
    auto value = co_await load_value(view.blobrefs, 0);
    view.object = treeobj::make_val(value);
}

Task<Json> Kvs::lookup(Request request)
{
    auto path = value_or_throw(parse_key(request.get<std::string>("key")));
    int flags = request.find<int>("flags").value_or(0);
    auto name = request.find<std::string>("namespace").value_or(primary);
    std::shared_ptr<Namespace> space;
    std::string rootref;
    if (Json rootdir = request.json()["rootdir"]) {
        // A snapshot belongs to no namespace, so that only the owner's reach can be granted to it.
        if (!request.credentials().is_owner())
            throw Error(EPERM, "only the instance owner may look up in a snapshot");
        if (auto valid = treeobj::validate(rootdir); !valid || !treeobj::is_dirref(rootdir))
            throw Error(EINVAL, "rootdir is no dirref");
        rootref = treeobj::blobrefs(rootdir).at(0);
    } else {
        space = co_await find_namespace(name, request.credentials());
        rootref = space->rootref;
    }
    auto view = co_await look(name, rootref, path, flags, request.credentials());
    // What is not in the replica may be in a version that is still on its way here.
    if (rank() > 0 && space && view.error && view.error->errnum() == ENOENT && co_await refresh(space))
        view = co_await look(name, space->rootref, path, flags, request.credentials());
    cache_.trim();
    if (view.error)
        throw *view.error;
    co_await complete(view);
    co_return Json {{"val", view.object}};
}

} // namespace flux::kvs
