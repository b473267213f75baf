#include "common/store/memory_store.hpp"

#include "common/runtime/sync.hpp"

namespace flux {

namespace {

class MemoryStore : public Store {
public:
    MemoryStore(Loop &loop, Duration delay, std::shared_ptr<MemoryStoreFactory::Disk> disk)
        : loop_(loop), delay_(delay), disk_(std::move(disk))
    {
    }
    Task<std::optional<std::string>> load(std::string digest) override
    {
        if (disk_->load_delay > Duration::zero())
            co_await sleep_for(loop_, disk_->load_delay);
        auto found = disk_->blobs.find(digest);
        co_return found == disk_->blobs.end() ? std::nullopt : std::optional(found->second);
    }
    Task<> commit(std::vector<StoredBlob> blobs, std::vector<StoredCheckpoint> checkpoints) override
    {
        co_await sleep_for(loop_, delay_);
        if (disk_->full)
            throw Error(ENOSPC, "the content store is full: make room");
        for (auto &blob : blobs) {
            auto [at, fresh] = disk_->blobs.try_emplace(std::move(blob.digest), std::move(blob.bytes));
            if (fresh) // else it is there: a digest is that of its bytes
                disk_->bytes += at->second.size();
        }
        for (auto &checkpoint : checkpoints)
            disk_->checkpoints.insert_or_assign(std::move(checkpoint.key), std::move(checkpoint.value));
    }
    Task<std::optional<Json>> checkpoint(std::string key) override
    {
        auto found = disk_->checkpoints.find(key);
        co_return found == disk_->checkpoints.end() ? std::nullopt : std::optional(found->second);
    }

private:
    Loop &loop_;
    Duration delay_;
    std::shared_ptr<MemoryStoreFactory::Disk> disk_;
};

} // namespace

std::unique_ptr<Store> MemoryStoreFactory::open(std::string directory, bool durable)
{
    auto &disk = disks_[directory];
    if (!disk)
        disk = std::make_shared<Disk>();
    disk->durable = durable;
    return std::make_unique<MemoryStore>(loop_, delay_, disk);
}

void MemoryStoreFactory::set_load_delay(Duration delay)
{
    for (auto &[directory, disk] : disks_)
        disk->load_delay = delay;
}

void MemoryStoreFactory::set_full(bool full)
{
    for (auto &[directory, disk] : disks_)
        disk->full = full;
}

size_t MemoryStoreFactory::bytes() const
{
    size_t bytes = 0;
    for (const auto &[directory, disk] : disks_)
        bytes += disk->bytes;
    return bytes;
}

void MemoryStoreFactory::keep_only(const std::unordered_set<std::string> &digests)
{
    for (auto &[directory, disk] : disks_)
        for (auto at = disk->blobs.begin(); at != disk->blobs.end();) {
            auto blob = at++;
            if (digests.contains(blob->first))
                continue;
            disk->bytes -= blob->second.size();
            disk->blobs.erase(blob);
        }
}

void MemoryStoreFactory::crash()
{
    std::erase_if(disks_, [](const auto &item) { return !item.second->durable; });
    // What still writes, writes to a disk that nobody will open.
    for (auto &[directory, disk] : disks_)
        disk = std::make_shared<Disk>(*disk);
}

} // namespace flux
