// The real store: one sqlite file, write-ahead log, a thread of its own so that a commit never holds up the
// loop.
#pragma once
#include "common/runtime/loop.hpp"
#include "common/runtime/store.hpp"

namespace flux {

constexpr size_t store_compress_threshold =
    256; // bytes; longer blobs are kept lz4-compressed where that is shorter

class SqliteStoreFactory : public StoreFactory {
public:
    explicit SqliteStoreFactory(Loop &loop) : loop_(loop) {}
    // The file is DIRECTORY/content.sqlite. Throws EIO with sqlite's words.
    std::unique_ptr<Store> open(std::string directory, bool durable) override;

private:
    Loop &loop_;
};

} // namespace flux
