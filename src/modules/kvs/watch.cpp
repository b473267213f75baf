#include "common/kvs/flags.hpp"
#include "modules/kvs/kvs.hpp"

namespace flux::kvs {

// ---- who hears of a version

void Namespace::notify(const Mentions &mentions)
{
    std::map<Watcher *, bool, Older> told; // replaced
    auto tell = [&](const auto &index, const std::string &key, bool replaced, bool full_only = false) {
        if (auto found = index.find(key); found != index.end())
            for (auto *watcher : found->second)
                if (watcher->full || !full_only)
                    told[watcher] |= replaced;
    };
    auto tell_above = [&](const std::string &key, bool replaced) {
        tell(below, ".", replaced);
        for (size_t end = key.find('.'); end != key.npos; end = key.find('.', end + 1))
            tell(below, key.substr(0, end), replaced);
    };
    bool watched = !exact.empty() || !below.empty();
    for (size_t i = 0; watched && i < mentions.size(); i++) {
        const auto &[key, replaced, resolved] = mentions[i];
        tell(exact, key, replaced);
        if (below.empty()) // those who watch all that is below are the full ones
            continue;
        tell_above(key, replaced);
        if (!resolved.empty()) {
            tell(exact, resolved, replaced, true);
            tell_above(resolved, replaced);
        }
    }
    for (auto &[watcher, replaced] : told)
        watcher->push(replaced);
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
                else
                    watcher->push(false); // a symlink leads here: it looks, and finds that out
    for (auto &transaction : queue)
        transaction.fail(Error(ENOTSUP, "KVS namespace {} was removed", name));
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

// ---- kvs-watch

Json Kvs::watch_stats(Request &)
{
    return Json {{"watchers", watchers_}, {"namespace-count", namespaces_.size()}};
}

// Watches what the lookup just depended on: also what its symlinks led to.
void Kvs::track(Watcher &watcher, const View &view, int flags)
{
    bool full = flags & flag::watch_full;
    bool ancestors = full || (flags & flag::waitcreate);
    for (const auto &place : view.trail)
        if (auto found = namespaces_.find(place.space); found != namespaces_.end())
            watcher.add(found->second, place.path, ancestors, full);
}

// Whether there is a newer version of any namespace than the lookup saw.
bool Kvs::has_moved(const View &view) const
{
    for (const auto &[name, rootref] : view.roots)
        if (auto found = namespaces_.find(name);
            found == namespaces_.end() || found->second->rootref != rootref)
            return true;
    return false;
}

void Kvs::answer_value(Request &request, const Version &version, const Json &object, int flags)
{
    // Another rank's kvs learns the version with the value.
    bool relayed = request.json().contains("relayed");
    auto answer = [&](Json value) {
        Json out {{"val", std::move(value)}};
        if (relayed)
            out.set("rootref", version.rootref).set("rootseq", version.rootseq);
        request.respond(std::move(out));
    };
    if (!(flags & flag::stream) || !request.is_streaming() || !treeobj::is_val(object))
        return answer(object);
    auto bytes = value_or_throw(treeobj::decode_val(object));
    for (size_t at = 0; at == 0 || at < bytes.size(); at += stream_chunk)
        answer(treeobj::make_val(std::string_view(bytes).substr(at, stream_chunk)));
}

// What was added to a value since it was last sent; nullopt: it is not a longer form of that.
Task<std::optional<std::string>> Kvs::newly_appended(const View &view, Appended &sent)
{
    std::string fresh;
    if (!view.blobrefs) {
        auto bytes = value_or_throw(treeobj::decode_val(view.object));
        if (bytes.size() < sent.bytes || !sent.blobrefs.empty())
            co_return std::nullopt;
        fresh = bytes.substr(sent.bytes);
    } else {
        const auto &now = *view.blobrefs;
        if (now.size() < sent.blobrefs.size() ||
            !std::equal(sent.blobrefs.begin(), sent.blobrefs.end(), now.begin()))
            co_return std::nullopt;
        fresh = co_await load_value(view.blobrefs, sent.blobrefs.size());
        // A value outgrew its directory: the first blobs are what stood there.
        if (sent.blobrefs.empty() && fresh.size() >= sent.bytes)
            fresh.erase(0, sent.bytes);
        sent.blobrefs = now;
    }
    sent.bytes += fresh.size();
    co_return fresh;
}

Task<> Kvs::watch(Request request)
{
    auto path = value_or_throw(parse_key(request.get<std::string>("key")));
    int flags = request.find<int>("flags").value_or(0);
    if (flags & (flag::watch | flag::stream))
        request.require_streaming();
    bool ancestors = flags & (flag::waitcreate | flag::watch_full), descendants = flags & flag::watch_full;
    Counted counted(watchers_);
    Watcher watcher(loop(), next_watcher_++);
    watcher.full = descendants;
    watcher.home =
        namespace_for(request.find<std::string>("namespace").value_or(primary), request.credentials());
    watcher.add(watcher.home, path, ancestors, descendants);
    std::optional<Version> version = Version {watcher.home->rootref, watcher.home->rootseq};
    Json last; // absent: nothing was sent yet
    Appended sent;
    for (; version; version = co_await watcher.versions.next()) {
        auto view = co_await look(watcher.home->name, version->rootref, path, flags, request.credentials());
        if (view.trail.size() > 1) {
            watcher.forget();
            watcher.add(watcher.home, path, ancestors, descendants);
            track(watcher, view, flags);
            // What a symlink led to was not yet watched while directories were loaded.
            if (has_moved(view) && watcher.versions.size() == 0) {
                auto now = co_await look(watcher.home->name, watcher.home->rootref, path, flags,
                                         request.credentials());
                if (!now.same_as(view))
                    watcher.push(false);
            }
        }
        cache_.trim();
        if (view.error) {
            if (!last && view.error->errnum() == ENOENT && (flags & flag::waitcreate))
                continue;
            throw *view.error;
        }
        if (flags & flag::watch_append) {
            auto fresh = co_await newly_appended(view, sent);
            if (!fresh || (last && version->replaced))
                throw Error(EINVAL, "{} was overwritten while its appends were watched", join(path));
            if (!last || !fresh->empty())
                answer_value(request, *version, treeobj::make_val(*fresh), flags);
            if (!last && (flags & flag::initial_sentinel))
                answer_value(request, *version, treeobj::make_val(""), flags);
            last = Json(true);
        } else {
            co_await complete(view);
            if (last && (flags & (flag::watch_uniq | flag::watch_full)) && last == view.object)
                continue;
            answer_value(request, *version, view.object, flags);
            last = view.object;
        }
        if (!(flags & flag::watch))
            co_return;
    }
    if (watcher.overrun)
        throw Error(ENOBUFS, "watch of {} in KVS namespace {}: {} versions came before they were looked at: watch it anew",
                    join(path), watcher.home->name, max_waiting_versions);
    throw Error(ENOTSUP, "KVS namespace {} was removed", watcher.home->name);
}

} // namespace flux::kvs
