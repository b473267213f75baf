#include "common/kvs/lookup.hpp"

namespace flux::kvs {

namespace {

Root to_root(const Json &json)
{
    return {json.get<std::string>("rootref"), json.get<int64_t>("rootseq")};
}

} // namespace

Task<Root> commit(Handle &handle, Txn txn, std::string space)
{
    Json payload {{"namespace", space}, {"flags", 0}, {"ops", txn.ops()}};
    Message answer = co_await handle.rpc("kvs.commit", std::move(payload));
    co_return to_root(answer.json());
}

Task<Json> lookup(Handle &handle, std::string key, int flags, std::string space, Json rootdir)
{
    Json payload {{"key", key}, {"namespace", space}, {"flags", flags}, {"rootdir", rootdir}};
    Message answer = co_await handle.rpc("kvs.lookup", std::move(payload));
    co_return answer.json().get<Json>("val");
}

Task<std::string> get(Handle &handle, std::string key, std::string space)
{
    Json object = co_await lookup(handle, std::move(key), 0, std::move(space));
    co_return value_or_throw(treeobj::decode_val(object));
}

Task<std::optional<std::string>> try_get(Handle &handle, std::string key, std::string space)
{
    try {
        co_return co_await get(handle, std::move(key), std::move(space));
    } catch (const Error &error) {
        if (error.errnum() != ENOENT)
            throw;
    }
    co_return std::nullopt;
}

Task<Root> getroot(Handle &handle, std::string space)
{
    Json payload {{"namespace", space}, {"flags", 0}};
    Message answer = co_await handle.rpc("kvs.getroot", std::move(payload));
    co_return to_root(answer.json());
}

Stream watch(Handle &handle, std::string key, int flags, std::string space)
{
    return handle.stream("kvs-watch.lookup", Json {{"key", key}, {"namespace", space}, {"flags", flags}}, {},
                         "kvs-watch.cancel");
}

} // namespace flux::kvs
