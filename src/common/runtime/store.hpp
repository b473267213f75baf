// Store: where bytes survive a crash. Blobs by digest and a few named checkpoints, committed together: after commit()
// returned, all of it is there again however the process ends. The real one is sqlite, the simulated one loses what was
// not yet committed.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/json/json.hpp"
#include "common/runtime/task.hpp"

namespace flux {

struct StoredBlob {
    std::string digest; // raw bytes
    std::string bytes;
};

struct StoredCheckpoint {
    std::string key;
    Json value;
};

class Store {
public:
    virtual ~Store() = default;
    virtual Task<std::optional<std::string>> load(std::string digest) = 0;
    // Atomic and durable. Throws Error(ENOSPC, EIO) with nothing of it stored.
    virtual Task<> commit(std::vector<StoredBlob> blobs, std::vector<StoredCheckpoint> checkpoints) = 0;
    virtual Task<std::optional<Json>> checkpoint(std::string key) = 0;
};

class StoreFactory {
public:
    virtual ~StoreFactory() = default;
    // Opens or creates. durable = false: the file is only an overflow of memory, nothing is synced.
    virtual std::unique_ptr<Store> open(std::string directory, bool durable) = 0;
};

} // namespace flux
