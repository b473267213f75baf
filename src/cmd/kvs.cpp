// flux kvs: the group, and what concerns whole namespaces.
#include "cmd/commands.hpp"
#include "cmd/kvs_client.hpp"
#include "cmd/kvs_commands.hpp"
#include "cmd/print.hpp"
#include "common/base/hash.hpp"
#include "common/kvs/treeobj.hpp"

namespace flux::cmd {

namespace {

using namespace kvs_client;

Json getroot(const Args &args, Session &flux)
{
    return flux.rpc("kvs.getroot", Json {{"namespace", namespace_of(args)}, {"flags", 0}});
}

int run_kvs_version(const Args &args, Session &flux)
{
    print("{}\n", getroot(args, flux).get<int64_t>("rootseq"));
    return 0;
}

int run_kvs_wait(const Args &args, Session &flux)
{
    char *end = nullptr;
    errno = 0;
    long long version = std::strtoll(args[0].c_str(), &end, 10);
    if (args[0].empty() || *end || version < 0 || errno == ERANGE)
        throw UsageError(fmt::format("'{}' is no version", args[0]));
    flux.rpc("kvs.wait-version", Json {{"rootseq", version}, {"namespace", namespace_of(args)}});
    return 0;
}

int run_kvs_getroot(const Args &args, Session &flux)
{
    Json root = getroot(args, flux);
    if (args.has("owner"))
        print("{}\n", root.get<uint32_t>("owner"));
    else if (args.has("blobref") || args.has("sequence"))
        show_root(args, root);
    else
        print("{}\n", treeobj::make_dirref(root.get<std::string>("rootref")).dump());
    return 0;
}

int run_kvs_sync(const Args &args, Session &flux)
{
    show_root(args, commit(flux, namespace_of(args), {}, commit_flag::sync));
    return 0;
}

int run_kvs_namespace_create(const Args &args, Session &flux)
{
    std::string rootref;
    if (args.has("rootref")) {
        rootref = args.value("rootref");
        if (rootref.starts_with('{'))
            rootref = treeobj::blobrefs(option_value("rootref", Json::parse(rootref))).at(0);
    } else {
        // The blobref of an empty directory, whose blob the KVS knows without storing.
        auto hash = value_or_throw(parse_hash_type(flux.attribute("content.hash")));
        rootref = blobref(hash, treeobj::encode(treeobj::make_dir()));
    }
    for (const auto &name : args.positional())
        flux.rpc("kvs.namespace-create",
                 Json {{"namespace", name},
                       {"rootref", rootref},
                       {"owner", args.integer("owner", -1)},
                       {"flags", 0}},
                 {.nodeid = 0});
    return 0;
}

int run_kvs_namespace_remove(const Args &args, Session &flux)
{
    for (const auto &name : args.positional())
        flux.rpc("kvs.namespace-remove", Json {{"namespace", name}}, {.nodeid = 0});
    return 0;
}

int run_kvs_namespace_list(const Args &, Session &flux)
{
    print("{:<36} {:>10} {:>10}\n", "NAMESPACE", "OWNER", "FLAGS");
    Json answer = flux.rpc("kvs.namespace-list");
    for (auto entry : answer["namespaces"].elements())
        print("{:<36} {:>10} {:#010x}\n", entry.get<std::string>("namespace"), entry.get<uint32_t>("owner"),
              entry.value<uint32_t>("flags", 0));
    return 0;
}

const Command kvs_namespace_create {
    .name = "create",
    .args = "NAME...",
    .summary = "Make namespaces",
    .options = {{"-o,--owner=UID", "the user who may use it, besides the instance owner"},
                {"-r,--rootref=TREEOBJ", "what is in it at first: a blobref or a directory reference"}},
    .min_args = 1,
    .run = run_kvs_namespace_create,
};

const Command kvs_namespace_remove {
    .name = "remove",
    .args = "NAME...",
    .summary = "Remove namespaces",
    .min_args = 1,
    .run = run_kvs_namespace_remove,
};

const Command kvs_namespace_list {
    .name = "list",
    .summary = "List namespaces",
    .max_args = 0,
    .run = run_kvs_namespace_list,
};

} // namespace

const Command kvs_version {
    .name = "version",
    .summary = "Show the version (sequence number) of the root",
    .options = {{"-N,--namespace=NAME", "the namespace"}},
    .max_args = 0,
    .run = run_kvs_version,
};

const Command kvs_wait {
    .name = "wait",
    .args = "VERSION",
    .summary = "Wait until the root has at least this version",
    .options = {{"-N,--namespace=NAME", "the namespace"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_kvs_wait,
};

const Command kvs_getroot {
    .name = "getroot",
    .summary = "Show the root directory reference",
    .options = {{"-N,--namespace=NAME", "the namespace"},
                {"-o,--owner", "the namespace's owner"},
                {"-b,--blobref", "the root's blobref"},
                {"-s,--sequence", "the root's version"}},
    .max_args = 0,
    .run = run_kvs_getroot,
};

const Command kvs_sync {
    .name = "sync",
    .summary = "Return when all that was committed is on disk",
    .options = {{"-N,--namespace=NAME", "the namespace"},
                {"-O,--treeobj-root", "show the root as a tree object"},
                {"-b,--blobref", "show the root's blobref"},
                {"-s,--sequence", "show the root's version"}},
    .max_args = 0,
    .run = run_kvs_sync,
};

const Command kvs_namespace {
    .name = "namespace",
    .summary = "Make, remove and list namespaces",
    .subcommands = {&kvs_namespace_create, &kvs_namespace_remove, &kvs_namespace_list},
};

const Command kvs {
    .name = "kvs",
    .summary = "Look at and change the key-value store",
    .subcommands = {&kvs_get, &kvs_put, &kvs_dir, &kvs_ls, &kvs_unlink, &kvs_link, &kvs_readlink, &kvs_mkdir,
                    &kvs_copy, &kvs_move, &kvs_version, &kvs_wait, &kvs_getroot, &kvs_sync, &kvs_namespace,
                    &kvs_eventlog},
};

} // namespace flux::cmd
