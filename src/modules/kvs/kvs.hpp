// The KVS service (RFC 11), on every rank.
//
// Rank 0 holds the namespaces. A commit is a batch: while one is on its way to the store, the next gathers
// behind it. What it answers is durable.
//
// Other ranks answer lookups from a replica: the root of a namespace that somebody there looks into, and
// directories and values from the content cache. A replica follows its parent's by a request that is answered
// with the next version (kvs.follow): so a version travels to ranks that asked, several in one step when they
// come faster than the answers, and at most one is under way per child. Commits and watches go to rank 0;
// their answers advance the replica, so that a rank sees what it has written or was told of.
//
// The tree itself is common/kvs; blobs come from and go to the content service of the same broker.
#pragma once
#include <deque>
#include <set>
#include <unordered_map>

#include "common/kvs/batch.hpp"
#include "common/kvs/walk.hpp"
#include "common/module/module.hpp"

namespace flux::kvs {

constexpr size_t directory_cache_limit = 16 << 20;   // bytes of decoded directories
constexpr size_t max_batch = 20000;                  // transactions in one commit
constexpr size_t stream_chunk = 1 << 20;             // bytes of a value in one response of a streamed lookup
constexpr size_t max_value_length = size_t(2) << 30; // bytes of a value that is made of blobs
constexpr int commit_no_merge = 1;                   // flag of kvs.commit: a version of its own
constexpr int idle_versions = 16;                    // that a replica follows although nobody looks
constexpr size_t max_queued_bytes = size_t(1) << 30; // of a namespace's transactions that wait, then EAGAIN
constexpr uint32_t max_fence_parts = 1 << 20;        // transactions of one fence
constexpr size_t max_open_fences = 4096;             // of one user, then EAGAIN
constexpr size_t max_fence_bytes = size_t(1) << 30;  // of what waits in all open fences, then EAGAIN
constexpr size_t max_waiting_versions = 100'000;     // that a watcher has not looked at, then it ends
constexpr const char *primary = "primary";
constexpr const char *checkpoint_key = "kvs-primary"; // of its root, in the content store

class Watcher;
// Watchers are told in the order in which they came, not in that of their addresses: a run can be repeated.
struct Older {
    bool operator()(const Watcher *a, const Watcher *b) const;
};

// One commit's worth of operations and who waits for it (several when it is a fence).
struct Transaction {
    std::vector<Request> requests;
    std::vector<Json> ops; // arrays
    int flags = 0;
    size_t bytes = 0; // of the requests

    void fail(const Error &error)
    {
        for (auto &request : requests)
            request.fail(error);
        requests.clear();
    }
};

struct Namespace {
    explicit Namespace(Loop &loop) : changed(loop) {}
    std::string name;
    uint64_t id = 0; // tells it from an earlier one of the same name
    uint32_t owner = 0;
    std::string rootref;
    int64_t rootseq = 0;
    bool removed = false;
    bool used = true; // of a replica: since its last version
    bool committing = false;
    std::deque<Transaction> queue;
    size_t queued_bytes = 0;
    Condition changed; // a new version, or removed
    size_t transactions = 0;
    size_t version_waiters = 0;
    size_t unchanged_versions = 0; // commits that changed nothing
    // Watchers by key: of the key itself, and of everything below it.
    std::unordered_map<std::string, std::set<Watcher *, Older>> exact;
    std::unordered_map<std::string, std::set<Watcher *, Older>> below;

    void notify(const Mentions &mentions);
    void remove();
};

// A version in a watcher's queue.
struct Version {
    std::string rootref;
    int64_t rootseq = 0;
    bool replaced = false;
};

// Registered with the keys that its lookup depends on, as long as it lives.
class Watcher {
public:
    Watcher(Loop &loop, uint64_t number) : versions(loop), number_(number) {}
    ~Watcher();
    void add(const std::shared_ptr<Namespace> &space, const Path &path, bool ancestors, bool descendants);
    void forget();
    void push(bool replaced)
    {
        if (versions.size() < max_waiting_versions)
            return versions.push({home->rootref, home->rootseq, replaced});
        overrun = true;
        versions.close();
    }

    std::shared_ptr<Namespace> home; // the namespace that the lookup starts in
    Channel<Version> versions;       // closed: the namespace is gone
    bool overrun = false;            // more versions came than it looked at
    bool full = false;               // hears also of keys that a transaction reached through a symlink

private:
    struct Place {
        std::shared_ptr<Namespace> space;
        std::string key;
        bool below;
    };
    friend struct Older;
    uint64_t number_; // counts the module's watchers
    std::vector<Place> places_;
};

inline bool Older::operator()(const Watcher *a, const Watcher *b) const
{
    return a->number_ < b->number_;
}

// Counts what is under way, however it ends.
struct Counted {
    explicit Counted(size_t &count) : count(count) { ++count; }
    ~Counted() { --count; }
    Counted(const Counted &) = delete;
    size_t &count;
};

class Kvs : public Module {
public:
    explicit Kvs(Context &context);
    Task<> start() override;
    Json stats() const override;

private:
    struct View {
        Json object;                                              // absent: the value's blobs are not loaded
        std::shared_ptr<const std::vector<std::string>> blobrefs; // of a value that is made of blobs
        std::vector<Place> trail;
        std::map<std::string, std::string> roots; // by namespace, that the lookup went through
        std::optional<Error> error;

        bool same_as(const View &other) const
        {
            bool same_blobs =
                blobrefs && other.blobrefs ? *blobrefs == *other.blobrefs : !blobrefs == !other.blobrefs;
            return same_blobs && object == other.object && error.has_value() == other.error.has_value();
        }
    };
    // What an append watcher has been sent.
    struct Appended {
        size_t bytes = 0;
        std::vector<std::string> blobrefs;
    };
    struct Fence {
        uint32_t wanted = 0;
        Transaction transaction;
    };

    // kvs.cpp: namespaces
    Task<Json> getroot(Request request);
    Task<Json> wait_version(Request request);
    Task<Json> follow(Request request);
    Json namespace_create(Request &request);
    Json namespace_remove(Request &request);
    Json namespace_list(Request &request);
    Json drop_cache(Request &request);
    Json clear_stats(Request &request);
    Task<> make_empty_directory();
    std::shared_ptr<Namespace> add_namespace(std::string name, uint64_t id, uint32_t owner,
                                             std::string rootref, int64_t rootseq);
    // Of those here; throws ENOTSUP, EPERM.
    std::shared_ptr<Namespace> namespace_for(const std::string &name, const Credentials &credentials) const;
    // The same, on other ranks than 0 after getting its root where it is not here yet.
    Task<std::shared_ptr<Namespace>> find_namespace(std::string name, Credentials credentials);

    // commit.cpp: rank 0
    void commit(Request request);
    void fence(Request request);
    void check_fences(const std::string &name, const Request &request, bool fresh) const;
    void leave_fences(const RouteId &sender, std::optional<uint32_t> matchtag);
    void enqueue(const std::shared_ptr<Namespace> &space, Transaction transaction);
    Task<> run_commits(std::shared_ptr<Namespace> space);
    Task<> commit_batch(std::shared_ptr<Namespace> space, std::vector<Transaction> transactions);
    Task<> apply(Batch &batch, Transaction &transaction);
    Task<> persist(std::vector<Batch::Blob> blobs, Json checkpoints);

    // lookup.cpp
    Task<Json> lookup(Request request);
    Task<View> look(std::string space, std::string rootref, Path path, int flags, Credentials credentials);
    Task<> complete(View &view);
    Task<Json> list(DirectoryCache::Pointer directory);
    Task<std::string> load(std::string blobref);
    Task<DirectoryCache::Pointer> fetch_directory(std::string blobref);
    Task<std::string> load_value(std::shared_ptr<const std::vector<std::string>> blobrefs, size_t first);

    // watch.cpp: rank 0
    Task<> watch(Request request);
    Json watch_stats(Request &request);
    void track(Watcher &watcher, const View &view, int flags);
    bool has_moved(const View &view) const;
    void answer_value(Request &request, const Version &version, const Json &object, int flags);
    Task<std::optional<std::string>> newly_appended(const View &view, Appended &sent);

    // replica.cpp: other ranks
    void relay_requests();
    Task<> relay(Request request);
    Task<> relay_fence(Request request);
    Task<> relay_stream(Request request);
    Task<std::shared_ptr<Namespace>> make_replica(std::string name);
    Task<bool> refresh(std::shared_ptr<Namespace> space);
    Task<> follow_parent(std::shared_ptr<Namespace> space);
    void adopt(const std::string &name, const Json &root);

    HashType hash_ = HashType::sha1;
    DirectoryCache cache_ {directory_cache_limit};
    std::map<std::string, std::shared_ptr<Namespace>, std::less<>> namespaces_;
    std::map<std::pair<std::string, std::string>, Fence> fences_; // by namespace and name
    size_t fence_bytes_ = 0; // of what waits in them
    uint64_t next_id_ = 1;
    std::string empty_root_;
    size_t faults_ = 0;
    uint64_t next_watcher_ = 1;
    size_t watchers_ = 0; // under way
};

} // namespace flux::kvs
