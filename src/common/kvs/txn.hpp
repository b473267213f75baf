// Txn: builds the operations of one KVS transaction, for kvs.commit.
//
//     kvs::Txn txn;
//     txn.put("a.b", "42").append("eventlog", line).unlink("c");
//     co_await kvs::commit(handle, std::move(txn));
#pragma once
#include "common/kvs/flags.hpp"
#include "common/kvs/treeobj.hpp"

namespace flux::kvs {

class Txn {
public:
    Txn &put(std::string_view key, std::string_view bytes) { return add(key, treeobj::make_val(bytes)); }
    Txn &append(std::string_view key, std::string_view bytes)
    {
        return add(key, treeobj::make_val(bytes), flag::append);
    }
    Txn &put_treeobj(std::string_view key, Json object) { return add(key, std::move(object)); }
    Txn &mkdir(std::string_view key) { return add(key, treeobj::make_dir()); }
    Txn &symlink(std::string_view key, std::string_view target, std::string_view space = {})
    {
        return add(key, treeobj::make_symlink(target, space));
    }
    Txn &unlink(std::string_view key) { return add(key, Json(nullptr)); }

    bool empty() const { return ops_.empty(); }
    const Json &ops() const { return ops_; }

private:
    Txn &add(std::string_view key, Json dirent, int flags = 0)
    {
        ops_.append(Json {{"key", key}, {"flags", flags}, {"dirent", std::move(dirent)}});
        return *this;
    }
    Json ops_ = Json::array();
};

} // namespace flux::kvs
