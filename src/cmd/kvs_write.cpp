// flux kvs put, unlink, link, mkdir, copy, move: each one commit.
#include "cmd/kvs_client.hpp"
#include "cmd/kvs_commands.hpp"
#include "cmd/print.hpp"
#include "common/kvs/treeobj.hpp"

namespace flux::cmd {

namespace {

using namespace kvs_client;

Json put_object(const Args &args, const std::string &key, const std::string &value)
{
    bool from_stdin = value == "-" && (args.has("raw") || args.has("treeobj"));
    std::string text = from_stdin ? read_stdin() : value;
    if (!args.has("treeobj"))
        return treeobj::make_val(text);
    auto object = Json::parse(text);
    if (!object)
        throw Error(object.error().errnum(), "{}: {}", key, object.error().text());
    if (auto valid = treeobj::validate(*object); !valid)
        throw Error(valid.error().errnum(), "{}: {}", key, valid.error().text());
    return *object;
}

int run_kvs_put(const Args &args, Session &flux)
{
    std::vector<Operation> operations;
    for (const auto &assignment : args.positional()) {
        auto [key, value] = split_assignment(assignment);
        operations.push_back({key, put_object(args, key, value), args.has("append") ? flag::append : 0});
    }
    int flags =
        (args.has("no-merge") ? commit_flag::no_merge : 0) | (args.has("sync") ? commit_flag::sync : 0);
    show_root(args, commit(flux, namespace_of(args), operations, flags));
    return 0;
}

// A directory with entries goes only with --recursive.
void check_unlink(const Args &args, Session &flux, const std::string &key, const Json &object)
{
    if (args.has("recursive") || !(treeobj::is_dir(object) || treeobj::is_dirref(object)))
        return;
    Json dir = lookup(flux, key, namespace_of(args), flag::readdir);
    if (!treeobj::entries(dir).empty())
        throw Error(ENOTEMPTY, "{}: this directory is not empty; use -R to remove it", key);
}

int run_kvs_unlink(const Args &args, Session &flux)
{
    std::vector<Operation> operations;
    for (const auto &key : args.positional()) {
        try {
            check_unlink(args, flux, key, lookup(flux, key, namespace_of(args), flag::treeobj));
        } catch (const Error &error) {
            if (error.errnum() != ENOENT || !args.has("force"))
                throw;
        }
        operations.push_back({key, nullptr});
    }
    show_root(args, commit(flux, namespace_of(args), operations));
    return 0;
}

int run_kvs_link(const Args &args, Session &flux)
{
    Json link = treeobj::make_symlink(args[0], args.value("target-namespace"));
    show_root(args, commit(flux, namespace_of(args), {{args[1], link}}));
    return 0;
}

int run_kvs_mkdir(const Args &args, Session &flux)
{
    std::vector<Operation> operations;
    for (const auto &key : args.positional())
        operations.push_back({key, treeobj::make_dir()});
    show_root(args, commit(flux, namespace_of(args), operations));
    return 0;
}

int copy(const Args &args, Session &flux, bool remove_source)
{
    std::string here = namespace_of(args);
    std::string from = args.value("src-namespace", here);
    std::string to = args.value("dst-namespace", here);
    Json object = lookup(flux, args[0], from, flag::treeobj);
    if (remove_source && from == to) { // both or neither
        commit(flux, to, {{args[1], object}, {args[0], nullptr}});
        return 0;
    }
    commit(flux, to, {{args[1], object}});
    if (remove_source)
        commit(flux, from, {{args[0], nullptr}});
    return 0;
}

int run_kvs_copy(const Args &args, Session &flux)
{
    return copy(args, flux, false);
}

int run_kvs_move(const Args &args, Session &flux)
{
    return copy(args, flux, true);
}

const Option namespace_option {"-N,--namespace=NAME", "the namespace"};
const Option treeobj_root_option {"-O,--treeobj-root", "show the new root as a tree object"};
const Option blobref_option {"-b,--blobref", "show the new root's blobref"};
const Option sequence_option {"-s,--sequence", "show the new root's version"};

} // namespace

const Command kvs_put {
    .name = "put",
    .args = "KEY=VALUE...",
    .summary = "Set values, all or none",
    .options = {namespace_option,
                treeobj_root_option,
                blobref_option,
                sequence_option,
                {"-r,--raw", "VALUE - is read from standard input"},
                {"-t,--treeobj", "VALUE is a tree object (RFC 11); - is read from standard input"},
                {"-n,--no-merge", "a commit of its own"},
                {"-A,--append", "append to the present value"},
                {"-S,--sync", "return when it is on disk"}},
    .min_args = 1,
    .run = run_kvs_put,
};

const Command kvs_unlink {
    .name = "unlink",
    .args = "KEY...",
    .summary = "Remove keys",
    .options = {namespace_option,
                treeobj_root_option,
                blobref_option,
                sequence_option,
                {"-R,--recursive", "directories with all that is in them"},
                {"-f,--force", "it is no error if a key does not exist"}},
    .min_args = 1,
    .run = run_kvs_unlink,
};

const Command kvs_link {
    .name = "link",
    .args = "TARGET KEY",
    .summary = "Make a symbolic link",
    .options = {namespace_option,
                treeobj_root_option,
                blobref_option,
                sequence_option,
                {"-T,--target-namespace=NAME", "the namespace of TARGET"}},
    .min_args = 2,
    .max_args = 2,
    .run = run_kvs_link,
};

const Command kvs_mkdir {
    .name = "mkdir",
    .args = "KEY...",
    .summary = "Make empty directories",
    .options = {namespace_option, treeobj_root_option, blobref_option, sequence_option},
    .min_args = 1,
    .run = run_kvs_mkdir,
};

const Command kvs_copy {
    .name = "copy",
    .args = "SOURCE DESTINATION",
    .summary = "Copy a value or a directory",
    .options = {namespace_option,
                {"-S,--src-namespace=NAME", "the namespace of SOURCE"},
                {"-D,--dst-namespace=NAME", "the namespace of DESTINATION"}},
    .min_args = 2,
    .max_args = 2,
    .run = run_kvs_copy,
};

const Command kvs_move {
    .name = "move",
    .args = "SOURCE DESTINATION",
    .summary = "Rename a value or a directory",
    .options = {namespace_option,
                {"-S,--src-namespace=NAME", "the namespace of SOURCE"},
                {"-D,--dst-namespace=NAME", "the namespace of DESTINATION"}},
    .min_args = 2,
    .max_args = 2,
    .run = run_kvs_move,
};

} // namespace flux::cmd
