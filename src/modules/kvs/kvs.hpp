// The KVS service (RFC 11). Rank 0 holds the namespaces; other ranks pass requests on to it.
//
// A commit is a batch: while one is on its way to the store, the next gathers behind it. What it answers is
// durable. The tree itself is common/kvs; blobs come from and go to the content service of the same broker.
#pragma once
#include <deque>
#include <set>
#include <unordered_map>

#include "common/kvs/batch.hpp"
#include "common/kvs/walk.hpp"
#include "common/module/module.hpp"

namespace flux::kvs {

constexpr size_t directory_cache_limit = 64 << 20; // bytes of decoded directories
constexpr size_t max_batch = 20000;                // transactions in one commit
constexpr size_t stream_chunk = 1 << 20;           // bytes of a value in one response of a streamed lookup
constexpr int commit_no_merge = 1;                 // flag of kvs.commit: a version of its own
constexpr const char *primary = "primary";

class Watcher;

struct Namespace {
    explicit Namespace(Loop &loop) : changed(loop) {}
    std::string name;
    uint32_t owner = 0;
    std::string rootref;
    int64_t rootseq = 0;
    bool removed = false;
    bool committing = false;
    struct Transaction {
        Request request;
        Json ops;
        int flags;
    };
    std::deque<Transaction> queue;
    Condition changed; // a new version, or removed
    size_t transactions = 0;
    size_t versions = 0;
    // Watchers by key: of the key itself, and of everything below it.
    std::unordered_map<std::string, std::set<Watcher *>> exact;
    std::unordered_map<std::string, std::set<Watcher *>> below;

    void notify(const Mentions &mentions);
    void remove();
};

// A version in a watcher's queue.
struct Version {
    std::string rootref;
    bool replaced = false;
};

// Registered with the keys that its lookup depends on, as long as it lives.
class Watcher {
public:
    explicit Watcher(Loop &loop) : versions(loop) {}
    ~Watcher();
    void add(const std::shared_ptr<Namespace> &space, const Path &path, bool ancestors, bool descendants);
    void forget();
    void push(Namespace &from, bool replaced);

    std::shared_ptr<Namespace> home; // the namespace that the lookup starts in
    Channel<Version> versions;       // closed: the namespace is gone

private:
    struct Place {
        std::shared_ptr<Namespace> space;
        std::string key;
        bool below;
    };
    std::vector<Place> places_;
};

class Kvs : public Module {
public:
    explicit Kvs(Context &context);
    Task<> start() override;
    Json stats() const override;

private:
    struct View {
        Json object;
        std::vector<Place> trail;
        std::optional<Error> error;
    };

    void serve_requests();
    void relay_requests();
    Task<> relay(Request request);
    Task<> relay_stream(Request request);

    void commit(Request request);
    Task<Json> lookup(Request request);
    Json getroot(Request &request);
    Task<Json> wait_version(Request request);
    Task<Json> namespace_create(Request request);
    Json namespace_remove(Request &request);
    Json namespace_list(Request &request);
    Task<> watch(Request request);

    Task<> run_commits(std::shared_ptr<Namespace> space);
    Task<> commit_batch(std::shared_ptr<Namespace> space, std::vector<Namespace::Transaction> transactions);
    Task<Batch> open_batch(std::shared_ptr<Namespace> space);
    Task<> apply(Batch &batch, const Json &ops);
    Task<> persist(std::vector<Batch::Blob> blobs, Json checkpoints);
    Task<View> look(std::string space, std::string rootref, Path path, int flags, Credentials credentials);
    Task<std::string> load(std::string blobref);
    Task<> fetch_directory(std::string blobref);
    Task<std::string> load_value(std::shared_ptr<const std::vector<std::string>> blobrefs);
    Task<> make_empty_directory();
    std::shared_ptr<Namespace> add_namespace(std::string name, uint32_t owner, std::string rootref,
                                             int64_t rootseq);
    std::shared_ptr<Namespace> namespace_for(const std::string &name, const Credentials &credentials);
    std::shared_ptr<Namespace> namespace_of(const Request &request);
    void track(Watcher &watcher, const View &view, int flags);
    void answer_value(Request &request, const Json &object, int flags);

    HashType hash_ = HashType::sha1;
    DirectoryCache cache_ {directory_cache_limit};
    std::map<std::string, std::shared_ptr<Namespace>> namespaces_;
    std::string empty_root_;
    size_t faults_ = 0;
};

} // namespace flux::kvs
