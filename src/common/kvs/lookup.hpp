// The KVS from the client's side: one coroutine per request. All throw the service's Error
// (flux_kvs_lookup(3), flux_kvs_commit(3)).
#pragma once
#include "common/client/handle.hpp"
#include "common/kvs/txn.hpp"

namespace flux::kvs {

struct Root {
    std::string rootref;
    int64_t rootseq = 0;
};

Task<Root> commit(Handle &handle, Txn txn, std::string space = "primary");
// The answer's tree object. rootdir: a dirref of which the key is looked up, instead of the present root.
Task<Json> lookup(Handle &handle, std::string key, int flags = 0, std::string space = "primary",
                  Json rootdir = {});
Task<std::string> get(Handle &handle, std::string key, std::string space = "primary"); // a value's bytes
// ENOENT is nullopt.
Task<std::optional<std::string>> try_get(Handle &handle, std::string key, std::string space = "primary");
Task<Root> getroot(Handle &handle, std::string space = "primary");
// Responses {"val": treeobj}; destroying the stream ends the watch.
Stream watch(Handle &handle, std::string key, int flags, std::string space = "primary");

} // namespace flux::kvs
