// SimStores: the disks of a run. What commit() returned for survives a crash; a commit under way may or may
// not; a disk can be full.
#pragma once
#include "common/store/memory_store.hpp"
#include "sim/pipe.hpp"

namespace flux::sim {

class SimStores : public StoreFactory {
public:
    explicit SimStores(Physics physics) : physics_(physics), disks_(physics.loop) {}

    Delay delay {std::chrono::microseconds(100), std::chrono::milliseconds(2)};
    // Commits fail with this errno (ENOSPC, EIO) while it is not 0.
    int failure = 0;
    uint64_t commits = 0;
    uint64_t failed = 0;

    std::unique_ptr<Store> open(std::string directory, bool durable) override;
    // The machine dies; whoever has a store open must be gone.
    void crash() { disks_.crash(); }
    size_t bytes() const { return disks_.bytes(); } // of blobs
    size_t keep_only(const std::unordered_set<std::string> &digests)
    {
        disks_.keep_only(digests);
        return bytes();
    }

private:
    class SimStore;
    Physics physics_;
    MemoryStoreFactory disks_;
};

} // namespace flux::sim
