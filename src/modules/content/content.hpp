// The content service (RFC 10): blobs by digest, on every rank. Ranks other than 0 cache and ask upstream;
// rank 0 has the store: durable in statedir when that is set, else a file in rundir that is opened when
// memory is full.
//
// content.commit (rank 0, payload: common/store/blob_frame.hpp) stores blobs and checkpoints in one
// transaction; so the store is part of this module and there is no backing module to load.
// Clients that go around the cache find it as "content-backing".
//
// A store without room, or with another error, fails what it was asked for and keeps what it has: everything
// that was acknowledged is there, and all goes on when there is room again.
#pragma once
#include <list>
#include <unordered_map>

#include "common/base/hash.hpp"
#include "common/module/module.hpp"
#include "common/runtime/sync.hpp"

namespace flux {

constexpr size_t content_cache_limit = 16 << 20;        // bytes of blobs in memory
constexpr size_t content_max_blob = size_t(1024) << 20; // bytes (RFC 10)
constexpr size_t content_max_waiting = size_t(256) << 20; // bytes of the next transaction, then EAGAIN
constexpr size_t content_spill_part = 4; // one part in so many of the limit is written out at a time
constexpr const char *primary_checkpoint = "kvs-primary"; // the one that a request without key means
constexpr double content_spill_retry_s = 5;               // after the overflow could not be written

class Content : public Module {
public:
    explicit Content(Context &context);
    Task<> start() override;
    Task<> stop() override;
    Json stats() const override;

private:
    struct Entry {
        std::string digest;
        std::string bytes;
        bool dirty = false; // nowhere but here (rank 0 without a durable store)
    };
    using Entries = std::list<Entry>;
    struct Group; // what the next transaction will store

    Task<> load(Request request);
    Task<> validate(Request request);
    Task<> store(Request request);
    Task<> commit(Request request);
    Task<> flush(Request request);
    Json drop_cache(Request &request);
    Task<Json> checkpoint_get(Request request);
    Task<Json> checkpoint_put(Request request);
    Task<> check_root(Json checkpoint);
    Json clear_stats(Request &request);
    Task<> backing_load(Request request);
    Task<> backing_store(Request request);

    std::string digest_of(const Request &request) const;
    Task<std::string> find(std::string digest);
    Task<std::string> fetch(std::string digest);
    // EAGAIN when too much waits already; the first that waits may be of any size.
    Task<> keep(std::vector<StoredBlob> blobs, std::vector<StoredCheckpoint> checkpoints);
    Task<> run_groups();
    void note_failure(const Error &error);
    void insert(StoredBlob blob, bool dirty);
    void erase(Entries::iterator entry);
    void evict();
    Task<> spill();
    Store &overflow();

    HashType hash_ = HashType::sha1;
    bool durable_ = false;
    std::unique_ptr<Store> store_;
    Entries clean_, dirty_; // the most recently used, or made, first
    std::unordered_map<std::string, Entries::iterator> index_;
    std::map<std::string, Json> checkpoints_; // without a durable store
    // Loads under way, so that many who want one blob ask once.
    std::map<std::string, std::shared_ptr<Condition>> loading_;
    size_t bytes_ = 0;
    size_t misses_ = 0;
    size_t commits_ = 0;
    size_t failures_ = 0;
    bool failing_ = false; // the last transaction failed
    bool committing_ = false;
    bool spilling_ = false;
    std::shared_ptr<Group> next_group_;
    Condition idle_;
};

} // namespace flux
