// The store of a simulation: what commit() returned for is there again after crash(), nothing else is.
#pragma once
#include <map>
#include <unordered_set>

#include "common/runtime/loop.hpp"
#include "common/runtime/store.hpp"

namespace flux {

class MemoryStoreFactory : public StoreFactory {
public:
    // delay: what a commit takes.
    explicit MemoryStoreFactory(Loop &loop, Duration delay = Duration::zero()) : loop_(loop), delay_(delay) {}
    std::unique_ptr<Store> open(std::string directory, bool durable) override;
    // The machine dies: stores that are not durable are gone, commits under way never happen.
    void crash();
    // Whether there is room on the disks that are open.
    void set_full(bool full);
    void set_load_delay(Duration delay); // what a load takes from the disks that are open
    size_t bytes() const; // of the blobs on all disks
    // Other blobs are gone.
    void keep_only(const std::unordered_set<std::string> &digests);

    struct Disk {
        bool durable = false;
        bool full = false; // commits fail
        Duration load_delay = Duration::zero();
        std::map<std::string, std::string> blobs;
        size_t bytes = 0; // of them
        std::map<std::string, Json> checkpoints;
    };

private:
    Loop &loop_;
    Duration delay_;
    std::map<std::string, std::shared_ptr<Disk>> disks_;
};

} // namespace flux
