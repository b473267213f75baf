#include "sim/stores.hpp"

#include "common/runtime/sync.hpp"

namespace flux::sim {

class SimStores::SimStore : public Store {
public:
    SimStore(SimStores &disks, std::unique_ptr<Store> inner) : disks_(disks), inner_(std::move(inner)) {}
    Task<std::optional<std::string>> load(std::string digest) override
    {
        co_await sleep_for(disks_.physics_.loop, disks_.delay.draw(disks_.physics_.random));
        co_return co_await inner_->load(std::move(digest));
    }
    // Time passes before and after the moment from which the bytes are safe: a crash may come in between.
    Task<> commit(std::vector<StoredBlob> blobs, std::vector<StoredCheckpoint> checkpoints) override
    {
        co_await sleep_for(disks_.physics_.loop, disks_.delay.draw(disks_.physics_.random));
        if (disks_.failure) {
            disks_.failed++;
            throw Error(disks_.failure, "cannot write to the store: {}", errno_text(disks_.failure));
        }
        co_await inner_->commit(std::move(blobs), std::move(checkpoints));
        disks_.commits++;
        co_await sleep_for(disks_.physics_.loop, disks_.delay.draw(disks_.physics_.random));
    }
    Task<std::optional<Json>> checkpoint(std::string key) override
    {
        co_return co_await inner_->checkpoint(std::move(key));
    }

private:
    SimStores &disks_;
    std::unique_ptr<Store> inner_;
};

std::unique_ptr<Store> SimStores::open(std::string directory, bool durable)
{
    return std::make_unique<SimStore>(*this, disks_.open(std::move(directory), durable));
}

} // namespace flux::sim
