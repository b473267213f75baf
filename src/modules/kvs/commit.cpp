// Commits and fences, on rank 0.
#include "common/kvs/flags.hpp"
#include "common/store/blob_frame.hpp"
#include "modules/kvs/kvs.hpp"

namespace flux::kvs {

void Kvs::commit(Request request)
{
    try {
        auto name = request.find<std::string>("namespace").value_or(primary);
        auto space = namespace_for(name, request.credentials());
        Transaction transaction;
        transaction.ops.push_back(request.get<Json>("ops"));
        transaction.flags = request.find<int>("flags").value_or(0);
        transaction.bytes = request.message().payload.bytes().size();
        transaction.requests.push_back(std::move(request));
        enqueue(space, std::move(transaction));
    } catch (const Error &error) {
        request.fail(error);
    }
}

// "nprocs" requests of one name make one transaction, answered together. What a client that is gone has
// brought goes with it, so that its name can be used anew.
void Kvs::fence(Request request)
{
    try {
        auto name = request.get<std::string>("name");
        auto nprocs = request.get<uint32_t>("nprocs");
        auto space_name = request.find<std::string>("namespace").value_or(primary);
        auto ops = request.get<Json>("ops");
        auto space = namespace_for(space_name, request.credentials());
        if (nprocs == 0 || nprocs > max_fence_parts)
            throw Error(EINVAL, "fence {}: nprocs is {}, expected 1 to {}", name, nprocs, max_fence_parts);
        auto flags = request.find<int>("flags").value_or(0); // nothing is refused once the fence is there
        check_fences(name, request, !fences_.contains({space_name, name}));
        auto [at, fresh] = fences_.try_emplace({space_name, name});
        auto &fence = at->second;
        if (!fresh && fence.wanted != nprocs)
            throw Error(EINVAL, "fence {} is under way for {} transactions in namespace {}: this one says {}",
                        name, fence.wanted, space_name, nprocs);
        fence.wanted = nprocs;
        fence.transaction.flags |= flags;
        fence.transaction.ops.push_back(std::move(ops));
        size_t bytes = request.message().payload.bytes().size();
        fence.transaction.bytes += bytes;
        fence_bytes_ += bytes;
        fence.transaction.requests.push_back(std::move(request));
        if (fence.transaction.requests.size() < nprocs)
            return;
        auto transaction = std::move(fence.transaction);
        fence_bytes_ -= transaction.bytes;
        fences_.erase(at);
        enqueue(space, std::move(transaction));
    } catch (const Error &error) {
        request.fail(error);
    }
}

// What is left open stays in memory until its senders leave.
void Kvs::check_fences(const std::string &name, const Request &request, bool fresh) const
{
    auto user = request.credentials().userid;
    auto bytes = fence_bytes_ + request.message().payload.bytes().size();
    auto open = !fresh ? 0 : std::ranges::count_if(fences_, [&](const auto &entry) {
        return entry.second.transaction.requests.front().credentials().userid == user;
    });
    if (size_t(open) >= max_open_fences)
        throw Error(EAGAIN, "fence {}: user {} has {} open fences and {} may be: complete some, or end who waits in them", name,
                    user, open, max_open_fences);
    if (bytes > max_fence_bytes)
        throw Error(EAGAIN, "fence {}: {} bytes would wait in open fences and {} may: complete some, or end who waits in them",
                    name, bytes, max_fence_bytes);
}

void Kvs::leave_fences(const RouteId &sender, std::optional<uint32_t> matchtag)
{
    for (auto at = fences_.begin(); at != fences_.end();) {
        auto &[requests, ops, flags, bytes] = at->second.transaction;
        for (size_t i = requests.size(); i-- > 0;) {
            if (!(requests[i].sender() == sender) ||
                (matchtag && requests[i].message().matchtag != *matchtag))
                continue;
            requests[i].fail(Error(ECANCELED, "fence {}: its sender has left", at->first.second));
            size_t gone = requests[i].message().payload.bytes().size();
            bytes -= gone;
            fence_bytes_ -= gone;
            requests.erase(requests.begin() + long(i));
            ops.erase(ops.begin() + long(i));
        }
        at = requests.empty() ? fences_.erase(at) : std::next(at);
    }
}

void Kvs::enqueue(const std::shared_ptr<Namespace> &space, Transaction transaction)
{
    if (space->queued_bytes + transaction.bytes > max_queued_bytes && !space->queue.empty())
        return transaction.fail(Error(EAGAIN,
                                      "{} bytes wait to be committed to KVS namespace {}: try again when the "
                                      "content store has taken some",
                                      space->queued_bytes, space->name));
    space->queued_bytes += transaction.bytes;
    space->queue.push_back(std::move(transaction));
    if (!std::exchange(space->committing, true))
        spawn(run_commits(space));
}

Task<> Kvs::run_commits(std::shared_ptr<Namespace> space)
{
    // Let what has already arrived join the first batch.
    co_await yield_to(loop());
    while (!space->queue.empty() && !space->removed) {
        std::vector<Transaction> transactions;
        while (!space->queue.empty() && transactions.size() < max_batch) {
            bool alone = space->queue.front().flags & commit_no_merge;
            if (alone && !transactions.empty())
                break;
            space->queued_bytes -= space->queue.front().bytes;
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

// All of its operations or none.
Task<> Kvs::apply(Batch &batch, Transaction &transaction)
{
    while (true) {
        std::optional<NeedBlob> need;
        try {
            batch.apply(transaction.ops);
            co_return;
        } catch (const NeedBlob &missing) {
            need = missing;
        }
        try {
            co_await fetch_directory(need->blobref);
        } catch (...) {
            batch.give_up();
            throw;
        }
    }
}

Task<> Kvs::commit_batch(std::shared_ptr<Namespace> space, std::vector<Transaction> transactions)
{
    std::optional<Error> failed;
    Batch::Result result;
    std::vector<std::string> stored;
    try {
        if (!cache_.find(space->rootref))
            co_await fetch_directory(space->rootref);
        Batch batch(cache_, space->rootref, hash_);
        for (auto &transaction : transactions) {
            std::optional<Error> refused;
            try {
                co_await apply(batch, transaction);
            } catch (const Error &error) {
                refused = error;
            }
            if (refused)
                transaction.fail(*refused);
        }
        result = batch.finish();
        for (const auto &blob : result.blobs)
            stored.push_back(blob.blobref);
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
    if (failed) {
        for (const auto &blobref : stored)
            cache_.remove(blobref); // it is not stored
        for (auto &transaction : transactions)
            transaction.fail(*failed);
        co_return;
    }
    for (const auto &blobref : stored)
        cache_.mark_stored(blobref);
    // Nobody but who looks at an old version needs these; the memory is better used for what is.
    for (const auto &blobref : result.replaced)
        cache_.remove(blobref);
    space->unchanged_versions += space->rootref == result.rootref;
    space->rootref = result.rootref;
    space->rootseq++;
    Payload answer(Json {{"rootref", space->rootref}, {"rootseq", space->rootseq}});
    for (auto &transaction : transactions) {
        for (auto &request : transaction.requests) {
            request.respond(answer);
            space->transactions++;
        }
        transaction.requests.clear();
    }
    space->notify(result.mentions);
}

Task<> Kvs::persist(std::vector<Batch::Blob> blobs, Json checkpoints)
{
    std::vector<FramedBlob> framed;
    for (const auto &blob : blobs)
        framed.push_back({blob.digest, blob.bytes});
    auto payload = Payload::raw(encode_blob_frame(framed, checkpoints));
    co_await rpc("content.commit", std::move(payload));
}

} // namespace flux::kvs
