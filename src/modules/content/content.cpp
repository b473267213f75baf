#include "modules/content/content.hpp"

#include "common/base/encoding.hpp"
#include "common/store/blob_frame.hpp"

namespace flux {

struct Content::Group {
    explicit Group(Loop &loop) : done(loop) {}
    std::vector<StoredBlob> blobs;
    std::vector<StoredCheckpoint> checkpoints;
    size_t bytes = 0; // of the blobs
    bool finished = false;
    std::optional<Error> failed;
    Condition done;
};

Content::Content(Context &context) : Module(context), idle_(loop())
{
    serve("load", role::owner, &Content::load);
    serve("validate", role::owner, &Content::validate);
    serve("store", role::owner, &Content::store);
    serve("flush", role::owner, &Content::flush);
    serve("dropcache", role::owner, &Content::drop_cache);
    serve("checkpoint-get", role::owner, &Content::checkpoint_get);
    serve("checkpoint-put", role::owner, &Content::checkpoint_put);
    serve("stats-clear", role::owner, &Content::clear_stats);
    if (rank() == 0)
        serve("commit", role::owner, &Content::commit);
}

Task<> Content::start()
{
    hash_ = value_or_throw(parse_hash_type(context().attribute("content.hash").value_or("sha1")));
    if (rank() > 0)
        co_return;
    if (auto directory = context().attribute("statedir"); directory && !directory->empty()) {
        store_ = context().platform().stores->open(*directory, true);
        durable_ = true;
        serve_topic("content-backing.load", role::owner, &Content::backing_load);
        serve_topic("content-backing.store", role::owner, &Content::backing_store);
        co_await add_service("content-backing");
    }
}

Task<> Content::stop()
{
    while (committing_)
        co_await idle_.wait();
}

// ---- requests

std::string Content::digest_of(const Request &request) const
{
    std::string digest(request.message().payload.bytes());
    if (digest.size() != digest_size(hash_))
        throw Error(EPROTO, "{}: a {} digest has {} bytes, not {}", request.message().topic,
                    hash_type_name(hash_), digest_size(hash_), digest.size());
    return digest;
}

Task<> Content::load(Request request)
{
    auto bytes = co_await find(digest_of(request));
    request.respond(bytes.empty() ? Payload() : Payload::raw(std::move(bytes)));
}

Task<> Content::validate(Request request)
{
    co_await find(digest_of(request));
    request.respond();
}

Task<> Content::store(Request request)
{
    auto payload = request.message().payload;
    if (payload.bytes().size() > content_max_blob)
        throw Error(EFBIG, "a blob of {} bytes is too long: at most {} are allowed", payload.bytes().size(),
                    content_max_blob);
    auto name = digest(hash_, payload.bytes());
    if (!index_.contains(name)) {
        std::vector<StoredBlob> blobs {{name, std::string(payload.bytes())}};
        if (rank() > 0) {
            co_await upstream("content.store", payload);
            insert(std::move(blobs[0]), false);
            evict();
        } else {
            co_await keep(std::move(blobs), {});
        }
    }
    request.respond(Payload::raw(name));
}

Task<> Content::commit(Request request)
{
    auto frame = value_or_throw(decode_blob_frame(request.message().payload.bytes()));
    std::vector<StoredBlob> blobs;
    for (const auto &blob : frame.blobs) {
        if (blob.digest.size() != digest_size(hash_))
            throw Error(EPROTO, "content.commit: a {} digest has {} bytes, not {}", hash_type_name(hash_),
                        digest_size(hash_), blob.digest.size());
        blobs.push_back({std::string(blob.digest), std::string(blob.bytes)});
    }
    std::vector<StoredCheckpoint> checkpoints;
    for (auto [key, value] : frame.checkpoints.members())
        checkpoints.push_back({std::string(key), value});
    co_await keep(std::move(blobs), std::move(checkpoints));
    request.respond();
}

Task<> Content::flush(Request request)
{
    request.respond(); // a store is only answered when its blob is where it belongs: in the statedir, if there is one
    co_return;
}

Json Content::drop_cache(Request &)
{
    while (!clean_.empty())
        erase(clean_.begin());
    return {};
}

Json Content::clear_stats(Request &)
{
    misses_ = commits_ = failures_ = 0;
    return {};
}

Task<> Content::backing_load(Request request)
{
    auto digest = digest_of(request);
    auto bytes = co_await store_->load(digest);
    if (!bytes)
        throw Error(ENOENT, "the store has no blob {}", blobref_of(hash_, digest));
    request.respond(bytes->empty() ? Payload() : Payload::raw(std::move(*bytes)));
}

Task<> Content::backing_store(Request request)
{
    auto payload = request.message().payload;
    auto name = digest(hash_, payload.bytes());
    std::vector<StoredBlob> blobs {{name, std::string(payload.bytes())}};
    co_await keep(std::move(blobs), {});
    request.respond(Payload::raw(name));
}

// {"key"} -> {"value": checkpoint}. Without a key: those of the KVS, {"value": [the latest first]}; only one
// is kept.
Task<Json> Content::checkpoint_get(Request request)
{
    bool all = !request.json() || !request.json().contains("key");
    std::string key = all ? primary_checkpoint : request.get<std::string>("key");
    if (rank() > 0) {
        Message answer = co_await upstream("content.checkpoint-get", request.message().payload);
        co_return answer.json();
    }
    std::optional<Json> value;
    if (durable_)
        value = co_await store_->checkpoint(key);
    else if (auto found = checkpoints_.find(key); found != checkpoints_.end())
        value = found->second;
    if (!value)
        throw Error(ENOENT, "there is no checkpoint {}", key);
    Json answer {{"value", all ? Json::array().append(*value) : *value}};
    co_return answer;
}

// The next start begins with what this names, or not at all.
Task<> Content::check_root(Json checkpoint)
{
    auto rootref = checkpoint.get<std::string>("rootref");
    auto parts = value_or_throw(parse_blobref(rootref));
    if (parts.type != hash_)
        throw Error(EINVAL, "checkpoint {}: rootref {} has another hash than this instance's {}", primary_checkpoint,
                    rootref, hash_type_name(hash_));
    if (Json sequence = checkpoint["sequence"]; sequence && !sequence.is_integer())
        throw Error(EINVAL, "checkpoint {}: sequence is no integer", primary_checkpoint);
    co_await find(parts.digest);
}

Task<Json> Content::checkpoint_put(Request request)
{
    if (rank() > 0) {
        co_await upstream("content.checkpoint-put", request.message().payload);
        co_return Json();
    }
    auto key = request.find<std::string>("key").value_or(primary_checkpoint);
    auto value = request.get<Json>("value");
    if (key == primary_checkpoint)
        co_await check_root(value);
    std::vector<StoredCheckpoint> checkpoints {{key, value}};
    co_await keep({}, std::move(checkpoints));
    co_return Json();
}

// ---- the cache and what is behind it

Task<std::string> Content::find(std::string digest)
{
    while (true) {
        if (auto found = index_.find(digest); found != index_.end()) {
            auto entry = found->second;
            auto &list = entry->dirty ? dirty_ : clean_;
            if (!entry->dirty)
                list.splice(list.begin(), list, entry);
            co_return entry->bytes;
        }
        auto under_way = loading_.find(digest);
        if (under_way == loading_.end())
            break;
        auto done = under_way->second;
        co_await done->wait();
    }
    // Ends the loading however this ends, so that the next of those who wait tries itself.
    struct Loading {
        Content &content;
        std::string digest;
        std::shared_ptr<Condition> done;
        Loading(Content &content, std::string name)
            : content(content), digest(std::move(name)), done(std::make_shared<Condition>(content.loop()))
        {
            content.loading_.emplace(digest, done);
        }
        ~Loading()
        {
            content.loading_.erase(digest);
            done->notify_all();
        }
    } loading(*this, digest);
    misses_++;
    auto bytes = co_await fetch(digest);
    if (flux::digest(hash_, bytes) != digest)
        throw Error(EIO, "the content of blob {}-{} is damaged", hash_type_name(hash_), hex_encode(digest));
    insert({std::move(digest), bytes}, false);
    evict();
    co_return bytes;
}

Task<std::string> Content::fetch(std::string digest)
{
    if (rank() > 0) {
        auto payload = Payload::raw(digest);
        Message answer = co_await upstream("content.load", std::move(payload));
        co_return std::string(answer.payload.bytes());
    }
    std::optional<std::string> stored;
    if (store_)
        stored = co_await store_->load(digest);
    if (!stored)
        throw Error(ENOENT, "there is no blob {}-{}", hash_type_name(hash_), hex_encode(digest));
    co_return std::move(*stored);
}

// Rank 0: returns when all of it is as safe as this instance promises. One transaction is under way at a
// time, the next gathers behind it.
Task<> Content::keep(std::vector<StoredBlob> blobs, std::vector<StoredCheckpoint> checkpoints)
{
    if (!durable_) {
        for (auto &blob : blobs)
            insert(std::move(blob), true);
        for (auto &checkpoint : checkpoints)
            checkpoints_.insert_or_assign(checkpoint.key, std::move(checkpoint.value));
        evict();
        co_return;
    }
    if (!next_group_)
        next_group_ = std::make_shared<Group>(loop());
    auto group = next_group_;
    size_t bytes = 0;
    for (const auto &blob : blobs)
        bytes += blob.bytes.size();
    if (group->bytes && group->bytes + bytes > content_max_waiting)
        throw Error(EAGAIN, "content store: {} bytes wait to be written and {} may: try again when it has taken them",
                    group->bytes, content_max_waiting);
    group->bytes += bytes;
    for (auto &blob : blobs)
        group->blobs.push_back(std::move(blob));
    for (auto &checkpoint : checkpoints)
        group->checkpoints.push_back(std::move(checkpoint));
    if (!std::exchange(committing_, true))
        spawn(run_groups());
    while (!group->finished)
        co_await group->done.wait();
    if (group->failed)
        throw *group->failed;
}

Task<> Content::run_groups()
{
    while (auto group = std::exchange(next_group_, nullptr)) {
        try {
            co_await store_->commit(group->blobs, std::move(group->checkpoints));
            commits_++;
            for (auto &blob : group->blobs)
                insert(std::move(blob), false);
            evict();
        } catch (const Error &error) {
            group->failed = error;
        }
        if (group->failed)
            note_failure(*group->failed);
        else if (std::exchange(failing_, false))
            log(LogLevel::notice, "the content store takes writes again");
        group->finished = true;
        group->done.notify_all();
    }
    committing_ = false;
    idle_.notify_all();
}

// Said once, however many transactions fail in a row.
void Content::note_failure(const Error &error)
{
    failures_++;
    if (!std::exchange(failing_, true))
        log(LogLevel::crit, "{}", error.text());
}

void Content::insert(StoredBlob blob, bool dirty)
{
    if (index_.contains(blob.digest))
        return;
    bytes_ += blob.bytes.size();
    auto &list = dirty ? dirty_ : clean_;
    list.push_front({std::move(blob.digest), std::move(blob.bytes), dirty});
    index_.emplace(list.front().digest, list.begin());
}

void Content::erase(Entries::iterator entry)
{
    bytes_ -= entry->bytes.size();
    index_.erase(entry->digest);
    (entry->dirty ? dirty_ : clean_).erase(entry);
}

// Forgets clean entries beyond the limit, the least recently used first; dirty ones go to the overflow.
void Content::evict()
{
    while (bytes_ > content_cache_limit && !clean_.empty())
        erase(std::prev(clean_.end()));
    if (bytes_ > content_cache_limit && !dirty_.empty() && !std::exchange(spilling_, true))
        spawn(spill());
}

Task<> Content::spill()
{
    while (bytes_ > content_cache_limit && !dirty_.empty()) {
        std::vector<StoredBlob> blobs;
        size_t bytes = 0;
        for (auto entry = dirty_.rbegin();
             entry != dirty_.rend() && bytes < content_cache_limit / content_spill_part; ++entry) {
            blobs.push_back({entry->digest, entry->bytes});
            bytes += entry->bytes.size();
        }
        std::optional<Error> failed;
        try {
            co_await overflow().commit(blobs, {});
        } catch (const Error &error) {
            failed = error;
        }
        if (failed) {
            // Memory is all there is until there is room.
            note_failure(*failed);
            co_await sleep_for(loop(), seconds(content_spill_retry_s));
            continue;
        }
        failing_ = false;
        for (const auto &blob : blobs)
            if (auto found = index_.find(blob.digest); found != index_.end() && found->second->dirty) {
                found->second->dirty = false;
                clean_.splice(clean_.end(), dirty_, found->second);
            }
        while (bytes_ > content_cache_limit && !clean_.empty())
            erase(std::prev(clean_.end()));
    }
    spilling_ = false;
}

Store &Content::overflow()
{
    if (!store_)
        store_ = context().platform().stores->open(context().attribute("rundir").value_or("/tmp"), false);
    return *store_;
}

Json Content::stats() const
{
    return Json {{"count", index_.size()}, {"size", bytes_},      {"dirty", dirty_.size()},
                 {"misses", misses_},      {"commits", commits_}, {"failures", failures_},
                 {"durable", durable_}};
}

} // namespace flux

FLUX_MODULE(content, "content", flux::Content)
