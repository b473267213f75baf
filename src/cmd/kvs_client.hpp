// What the kvs commands share: lookups, commits and their output.
#pragma once
#include <string>
#include <vector>

#include "cmd/command.hpp"
#include "common/kvs/flags.hpp"

namespace flux::cmd::kvs_client {

namespace flag = ::flux::kvs::flag; // of kvs.lookup, kvs-watch.lookup and the operations of kvs.commit

namespace commit_flag {
constexpr int no_merge = 1;
constexpr int sync = 2;
} // namespace commit_flag

// --namespace, else FLUX_KVS_NAMESPACE, else "primary".
std::string namespace_of(const Args &args);
Json lookup_request(const std::string &key, const std::string &name_space, int flags);
// The object that is found at a key. ENOENT names the key.
Json lookup(Session &flux, const std::string &key, const std::string &name_space, int flags,
            const Json &root = {});
// The bytes of a val.
std::string value_of(const Json &treeobj, const std::string &key);

struct Operation {
    std::string key;
    Json dirent; // JSON null: unlink
    int flags = 0;
};
Json commit(Session &flux, const std::string &name_space, const std::vector<Operation> &operations,
            int flags = 0);
// --treeobj-root, --blobref, --sequence of a commit's answer, or kvs.getroot's.
void show_root(const Args &args, const Json &root);

// "KEY=VALUE" parted; EINVAL without '='.
std::pair<std::string, std::string> split_assignment(const std::string &text);

} // namespace flux::cmd::kvs_client
