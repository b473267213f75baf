#include "cmd/kvs_client.hpp"

#include <cstdlib>

#include "cmd/print.hpp"
#include "common/kvs/treeobj.hpp"

namespace flux::cmd::kvs_client {

std::string namespace_of(const Args &args)
{
    if (args.has("namespace"))
        return args.value("namespace");
    const char *name = std::getenv("FLUX_KVS_NAMESPACE");
    return name && *name ? name : "primary";
}

Json lookup_request(const std::string &key, const std::string &name_space, int flags)
{
    return Json {{"key", key}, {"namespace", name_space}, {"flags", flags}};
}

Json lookup(Session &flux, const std::string &key, const std::string &name_space, int flags, const Json &root)
{
    Json request = lookup_request(key, name_space, flags);
    if (root) {
        request.erase("namespace");
        request.set("rootdir", root);
    }
    try {
        return flux.rpc("kvs.lookup", request).get<Json>("val");
    } catch (const Error &error) {
        if (error.text().starts_with(key)) // it names the key already
            throw;
        throw Error(error.errnum(), "{}: {}", key, error.what());
    }
}

std::string value_of(const Json &treeobj, const std::string &key)
{
    if (!treeobj::is_val(treeobj))
        throw Error(EISDIR, "{}: this is a {}, not a value", key, treeobj["type"].string_view());
    return value_or_throw(treeobj::decode_val(treeobj));
}

Json commit(Session &flux, const std::string &name_space, const std::vector<Operation> &operations, int flags)
{
    Json ops = Json::array();
    for (const auto &operation : operations)
        ops.append(Json {{"key", operation.key}, {"flags", operation.flags}, {"dirent", operation.dirent}});
    return flux.rpc("kvs.commit", Json {{"namespace", name_space}, {"flags", flags}, {"ops", ops}});
}

void show_root(const Args &args, const Json &root)
{
    auto ref = root.get<std::string>("rootref");
    if (args.knows("treeobj-root") && args.has("treeobj-root"))
        print("{}\n", treeobj::make_dirref(ref).dump());
    else if (args.has("blobref"))
        print("{}\n", ref);
    else if (args.has("sequence"))
        print("{}\n", root.get<int64_t>("rootseq"));
}

std::pair<std::string, std::string> split_assignment(const std::string &text)
{
    size_t at = text.find('=');
    if (at == std::string::npos || at == 0)
        throw UsageError(fmt::format("'{}' is not KEY=VALUE", text));
    return {text.substr(0, at), text.substr(at + 1)};
}

} // namespace flux::cmd::kvs_client
