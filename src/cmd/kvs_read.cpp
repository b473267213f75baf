// flux kvs get, dir, ls, readlink: what looks and does not change.
#include <unistd.h>

#include "cmd/kvs_client.hpp"
#include "cmd/kvs_commands.hpp"
#include "cmd/print.hpp"
#include "cmd/terminal.hpp"
#include "common/kvs/treeobj.hpp"

namespace flux::cmd {

namespace {

using namespace kvs_client;

void show_value(const Args &args, const std::string &key, const Json &object)
{
    if (args.has("label"))
        print("{}=", key);
    if (args.has("treeobj")) {
        print("{}\n", object.dump());
        return;
    }
    std::string value = value_of(object, key);
    write_out(value);
    if (!args.has("raw") && !value.empty())
        write_out("\n");
}

int get_flags(const Args &args)
{
    int flags = 0;
    if (args.has("treeobj"))
        flags |= flag::treeobj;
    if (args.has("watch"))
        flags |= flag::watch;
    if (args.has("waitcreate"))
        flags |= flag::waitcreate;
    if (args.has("uniq"))
        flags |= flag::watch_uniq;
    if (args.has("append"))
        flags |= flag::watch_append;
    if (args.has("full"))
        flags |= flag::watch_full;
    if (args.has("stream"))
        flags |= flag::stream;
    return flags;
}

Task<> watch_key(Handle &handle, const Args &args, std::string key, int flags)
{
    bool many = flags & (flag::watch | flag::stream);
    auto stream = handle.stream("kvs-watch.lookup", lookup_request(key, namespace_of(args), flags), {},
                                "kvs-watch.cancel");
    int64_t count = args.integer("count", 0);
    for (int64_t seen = 0; auto answer = co_await stream.next();) {
        show_value(args, key, answer->json().get<Json>("val"));
        std::fflush(stdout);
        seen++;
        if (!many || (count > 0 && seen == count))
            break;
    }
}

// --at: the root to look from instead of the present one.
Json root_of(const Args &args)
{
    return args.has("at") ? option_value("at", Json::parse(args.value("at"))) : Json();
}

int run_kvs_get(const Args &args, Session &flux)
{
    int flags = get_flags(args);
    constexpr int needs_watcher = flag::watch | flag::waitcreate | flag::stream;
    Json root = root_of(args);
    for (const auto &key : args.positional()) {
        if (flags & needs_watcher)
            flux.run(watch_key(flux.handle(), args, key, flags));
        else
            show_value(args, key, lookup(flux, key, namespace_of(args), flags, root));
    }
    return 0;
}

std::string child_key(const std::string &parent, std::string_view name)
{
    return parent == "." ? std::string(name) : fmt::format("{}.{}", parent, name);
}

std::string shortened(const std::string &text, size_t width)
{
    std::string out;
    for (char c : text)
        out += c == '\n' ? "\\n" : std::string(1, c);
    if (width == 0 || out.size() <= width)
        return out;
    return out.substr(0, width > 3 ? width - 3 : 0) + "...";
}

size_t width_of(const Args &args)
{
    if (args.has("width"))
        return size_t(args.integer("width", 0));
    const char *columns = std::getenv("COLUMNS");
    size_t width = columns ? std::strtoul(columns, nullptr, 10) : 0;
    return terminal_width(STDOUT_FILENO, width ? width : default_terminal_width);
}

void show_dir(const Args &args, Session &flux, const std::string &key, const Json &root, size_t width)
{
    std::string name_space = namespace_of(args);
    Json dir = lookup(flux, key, name_space, flag::readdir, root);
    for (auto [name, object] : treeobj::entries(dir).members()) {
        std::string child = child_key(key, name);
        if (treeobj::is_dir(object) || treeobj::is_dirref(object)) {
            if (args.has("recursive"))
                show_dir(args, flux, child, root, width);
            else
                print("{}.\n", child);
        } else if (treeobj::is_symlink(object)) {
            auto link = value_or_throw(treeobj::decode_symlink(object));
            print("{} -> {}{}{}\n", child, link.namespace_name,
                  link.namespace_name.empty() ? "" : "::", link.target);
        } else if (args.has("directory")) {
            print("{}\n", child);
        } else {
            print("{}\n", shortened(child + " = " + value_of(lookup(flux, child, name_space, 0, root), child),
                                    width));
        }
    }
}

int run_kvs_dir(const Args &args, Session &flux)
{
    Json root = root_of(args);
    show_dir(args, flux, args.size() ? args[0] : ".", root, width_of(args));
    return 0;
}

std::string type_mark(const Json &object)
{
    if (treeobj::is_dir(object) || treeobj::is_dirref(object))
        return ".";
    return treeobj::is_symlink(object) ? "@" : "";
}

// Names in columns, filled line by line.
void show_columns(const std::vector<std::string> &names, size_t width)
{
    constexpr size_t gap = 4;
    size_t longest = 0;
    for (const auto &name : names)
        longest = std::max(longest, display_width(name) + gap);
    size_t columns =
        width && longest ? std::max<size_t>(1, width / longest) : std::max<size_t>(1, names.size());
    for (size_t line = 0; line < names.size(); line += columns) {
        std::string text;
        for (size_t at = line; at < std::min(names.size(), line + columns); at++)
            text += pad(names[at], longest, false);
        text.erase(text.find_last_not_of(' ') + 1);
        print("{}\n", text);
    }
}

void list_dir(const Args &args, Session &flux, const std::string &key, bool with_title)
{
    Json dir = lookup(flux, key, namespace_of(args), flag::readdir);
    std::vector<std::string> names;
    std::vector<std::string> below;
    for (auto [name, object] : treeobj::entries(dir).members()) {
        names.push_back(std::string(name) + (args.has("classify") ? type_mark(object) : ""));
        if (treeobj::is_dir(object) || treeobj::is_dirref(object))
            below.push_back(child_key(key, name));
    }
    std::sort(names.begin(), names.end());
    if (with_title)
        print("{}:\n", key);
    if (args.has("1")) {
        for (const auto &name : names)
            print("{}\n", name);
    } else {
        show_columns(names, width_of(args));
    }
    if (args.has("recursive"))
        for (const auto &child : below) {
            print("\n");
            list_dir(args, flux, child, true);
        }
}

int run_kvs_ls(const Args &args, Session &flux)
{
    std::vector<std::string> keys = args.positional();
    if (keys.empty())
        keys = {"."};
    std::vector<std::string> directories;
    for (const auto &key : keys) {
        Json object = lookup(flux, key, namespace_of(args), flag::treeobj);
        if (!args.has("directory") && (treeobj::is_dir(object) || treeobj::is_dirref(object)))
            directories.push_back(key);
        else
            print("{}{}\n", key, args.has("classify") && key != "." ? type_mark(object) : "");
    }
    for (const auto &key : directories) {
        if (key != directories.front())
            print("\n");
        list_dir(args, flux, key, keys.size() > 1 || args.has("recursive"));
    }
    return 0;
}

int run_kvs_readlink(const Args &args, Session &flux)
{
    Json root = root_of(args);
    for (const auto &key : args.positional()) {
        Json object = lookup(flux, key, namespace_of(args), flag::readlink, root);
        auto link = value_or_throw(treeobj::decode_symlink(object));
        if (args.has("namespace-only"))
            print("{}\n", link.namespace_name);
        else if (args.has("key-only") || link.namespace_name.empty())
            print("{}\n", link.target);
        else
            print("{}::{}\n", link.namespace_name, link.target);
    }
    return 0;
}

} // namespace

const Command kvs_get {
    .name = "get",
    .args = "KEY...",
    .summary = "Show values",
    .options = {{"-N,--namespace=NAME", "the namespace"},
                {"-r,--raw", "without a newline"},
                {"-t,--treeobj", "show the tree object (RFC 11)"},
                {"-a,--at=TREEOBJ", "look below this directory object"},
                {"-l,--label", "put KEY= in front"},
                {"-W,--waitcreate", "wait until the key exists"},
                {"-w,--watch", "show each new value"},
                {"-c,--count=N", "with --watch, stop after N values"},
                {"-u,--uniq", "with --watch, only values that differ"},
                {"-A,--append", "with --watch, only what was appended"},
                {"-f,--full", "with --watch, notice changes made through parent directories"},
                {"-S,--stream", "fetch a large value in parts"}},
    .min_args = 1,
    .run = run_kvs_get,
};

const Command kvs_dir {
    .name = "dir",
    .args = "[KEY]",
    .summary = "Show the keys and values of a directory",
    .options = {{"-N,--namespace=NAME", "the namespace"},
                {"-R,--recursive", "and of those below"},
                {"-d,--directory", "no values"},
                {"-w,--width=N", "cut lines at N columns (0: never)"},
                {"-a,--at=TREEOBJ", "look below this directory object"}},
    .max_args = 1,
    .run = run_kvs_dir,
};

const Command kvs_ls {
    .name = "ls",
    .args = "[KEY...]",
    .summary = "List names",
    .options = {{"-N,--namespace=NAME", "the namespace"},
                {"-R,--recursive", "and those below"},
                {"-d,--directory", "directories themselves, not what is in them"},
                {"-w,--width=N", "make columns for a screen of this width"},
                {"-1,--1", "one name per line"},
                {"-F,--classify", "mark directories with . and links with @"}},
    .run = run_kvs_ls,
};

const Command kvs_readlink {
    .name = "readlink",
    .args = "KEY...",
    .summary = "Show where symbolic links point",
    .options = {{"-N,--namespace=NAME", "the namespace"},
                {"-a,--at=TREEOBJ", "look below this directory object"},
                {"-o,--namespace-only", "only the target's namespace"},
                {"-k,--key-only", "only the target's key"}},
    .min_args = 1,
    .run = run_kvs_readlink,
};

} // namespace flux::cmd
