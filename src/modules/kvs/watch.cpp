#include "common/kvs/flags.hpp"
#include "modules/kvs/kvs.hpp"

namespace flux::kvs {

// ---- who hears of a version

void Namespace::notify(const Mentions &mentions)
{
    std::map<Watcher *, bool> told; // replaced
    auto tell = [&](const auto &index, const std::string &key, bool replaced) {
        if (auto found = index.find(key); found != index.end())
            for (auto *watcher : found->second)
                told[watcher] |= replaced;
    };
    for (const auto &[key, mention] : mentions) {
        tell(exact, key, mention.replaced);
        if (below.empty())
            continue;
        tell(below, ".", mention.replaced);
        for (size_t end = key.find('.'); end != key.npos; end = key.find('.', end + 1))
            tell(below, key.substr(0, end), mention.replaced);
    }
    for (auto &[watcher, replaced] : told)
        watcher->push(*this, replaced);
    changed.notify_all();
}

void Namespace::remove()
{
    removed = true;
    for (auto *index : {&exact, &below})
        for (auto &[key, watchers] : *index)
            for (auto *watcher : watchers)
                if (watcher->home.get() == this)
                    watcher->versions.close();
    for (auto &transaction : queue)
        transaction.request.fail(Error(ENOTSUP, "KVS namespace {} was removed", name));
    queue.clear();
    changed.notify_all();
}

Watcher::~Watcher()
{
    forget();
}

void Watcher::add(const std::shared_ptr<Namespace> &space, const Path &path, bool ancestors, bool descendants)
{
    auto put = [&](const std::string &key, bool below) {
        auto &index = below ? space->below : space->exact;
        if (index[key].insert(this).second)
            places_.push_back({space, key, below});
    };
    put(join(path), false);
    if (descendants)
        put(join(path), true);
    if (ancestors)
        for (size_t length = 1; length < path.size(); length++)
            put(join(Path(path.begin(), path.begin() + long(length))), false);
}

void Watcher::forget()
{
    for (auto &place : places_) {
        auto &index = place.below ? place.space->below : place.space->exact;
        auto found = index.find(place.key);
        found->second.erase(this);
        if (found->second.empty())
            index.erase(found);
    }
    places_.clear();
}

void Watcher::push(Namespace &from, bool replaced)
{
    versions.push({home->rootref, replaced});
}

// ---- kvs-watch.lookup

// Watches what the lookup just depended on: also what its symlinks led to.
void Kvs::track(Watcher &watcher, const View &view, int flags)
{
    bool full = flags & flag::watch_full;
    bool ancestors = full || (flags & flag::waitcreate);
    for (const auto &place : view.trail)
        if (auto found = namespaces_.find(place.space); found != namespaces_.end())
            watcher.add(found->second, place.path, ancestors, full);
}

void Kvs::answer_value(Request &request, const Json &object, int flags)
{
    if (!(flags & flag::stream) || !request.is_streaming() || !treeobj::is_val(object)) {
        request.respond(Json {{"val", object}});
        return;
    }
    auto bytes = value_or_throw(treeobj::decode_val(object));
    for (size_t at = 0; at == 0 || at < bytes.size(); at += stream_chunk)
        request.respond(Json {{"val", treeobj::make_val(std::string_view(bytes).substr(at, stream_chunk))}});
}

Task<> Kvs::watch(Request request)
{
    auto path = value_or_throw(parse_key(request.get<std::string>("key")));
    int flags = request.find<int>("flags").value_or(0);
    if (flags & (flag::watch | flag::stream))
        request.require_streaming();
    Watcher watcher(loop());
    watcher.home = namespace_of(request);
    watcher.add(watcher.home, path, flags & (flag::waitcreate | flag::watch_full), flags & flag::watch_full);
    std::optional<Version> version = Version {watcher.home->rootref};
    std::optional<Json> last;
    size_t offset = 0; // what an append watcher has been sent
    for (; version; version = co_await watcher.versions.next()) {
        auto view = co_await look(watcher.home->name, version->rootref, path, flags, request.credentials());
        if (view.trail.size() > 1) {
            watcher.forget();
            watcher.add(watcher.home, path, flags & (flag::waitcreate | flag::watch_full),
                        flags & flag::watch_full);
            track(watcher, view, flags);
        }
        if (view.error) {
            if (!last && view.error->errnum() == ENOENT && (flags & flag::waitcreate))
                continue;
            throw *view.error;
        }
        if (last && (flags & (flag::watch_uniq | flag::watch_full)) && *last == view.object)
            continue;
        if (flags & flag::watch_append) {
            auto bytes = value_or_throw(treeobj::decode_val(view.object));
            if (last && (version->replaced || bytes.size() < offset))
                throw Error(EINVAL, "{} was overwritten while its appends were watched", join(path));
            if (!last || bytes.size() > offset)
                answer_value(request, treeobj::make_val(std::string_view(bytes).substr(offset)), flags);
            if (!last && (flags & flag::initial_sentinel))
                request.respond(Json {{"val", treeobj::make_val("")}});
            offset = bytes.size();
        } else {
            answer_value(request, view.object, flags);
        }
        last = view.object;
        if (!(flags & flag::watch))
            co_return;
    }
    throw Error(ENOTSUP, "KVS namespace {} was removed", watcher.home->name);
}

} // namespace flux::kvs
