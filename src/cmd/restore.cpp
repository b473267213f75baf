// flux restore: an archive of flux dump, or of anybody, into the content store, as a key of the KVS or as its
// checkpoint.
#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <climits>
#include <cmath>
#include <deque>
#include <map>
#include <memory>
#include <unistd.h>

#include "cmd/command.hpp"
#include "cmd/dump_paths.hpp"
#include "cmd/print.hpp"
#include "cmd/request_under_way.hpp"
#include "common/base/hash.hpp"
#include "common/kvs/batch.hpp"
#include "common/kvs/key.hpp"
#include "common/kvs/treeobj.hpp"

namespace flux::cmd {

namespace {

constexpr int64_t default_requests = 256; // blobs that are being stored at a time
constexpr size_t report_interval = 1000;  // keys

struct Directory {
    std::map<std::string, Json> objects;
    std::map<std::string, Directory> directories;
};

class ArchiveReader {
public:
    explicit ArchiveReader(const std::string &path)
        : path_(path), archive_(archive_read_new(), archive_read_free)
    {
        archive_read_support_filter_all(archive_.get());
        archive_read_support_format_all(archive_.get());
        constexpr size_t block = 64u << 10;
        check(path == "-" ? archive_read_open_fd(archive_.get(), STDIN_FILENO, block)
                          : archive_read_open_filename(archive_.get(), path.c_str(), block));
    }
    archive_entry *next()
    {
        archive_entry *entry = nullptr;
        int result = archive_read_next_header(archive_.get(), &entry);
        if (result == ARCHIVE_EOF)
            return nullptr;
        check(result);
        return entry;
    }
    std::string content()
    {
        std::string out;
        char buffer[64u << 10];
        la_ssize_t n;
        while ((n = archive_read_data(archive_.get(), buffer, sizeof buffer)) > 0)
            out.append(buffer, size_t(n));
        if (n < 0)
            check(ARCHIVE_FATAL);
        return out;
    }

private:
    void check(int result) const
    {
        if (result < ARCHIVE_WARN)
            throw Error(EIO, "{}: {}", path_, archive_error_string(archive_.get()));
    }
    std::string path_;
    std::unique_ptr<archive, int (*)(archive *)> archive_;
};

class Restorer {
public:
    Restorer(Session &flux, const Args &args)
        : handle_(flux.handle()), args_(args),
          hash_(value_or_throw(parse_hash_type(flux.attribute("content.hash")))),
          size_limit_(args.bytes("size-limit", INT_MAX, INT_MAX)),
          max_requests_(size_t(args.integer("maxreqs", default_requests)))
    {
    }

    // The blobref of the root; all that it leads to is stored.
    Task<std::string> run(std::string path)
    {
        ArchiveReader archive(path);
        while (auto *entry = archive.next()) {
            std::string name = text_of(archive_entry_pathname(entry));
            newest_ = std::max(newest_, double(archive_entry_mtime(entry)));
            if (archive_entry_filetype(entry) == AE_IFLNK)
                co_await add(name, link(text_of(archive_entry_symlink(entry))));
            else if (archive_entry_filetype(entry) == AE_IFREG)
                co_await file(name, archive.content());
        }
        std::string root = co_await store(root_);
        while (!under_way_.empty())
            co_await oldest();
        if (!args_.has("quiet") && !args_.has("verbose"))
            warn("flux-restore: restored {} keys", count_);
        co_return root;
    }
    double newest() const { return newest_; }

private:
    // libarchive has no text for a name that it cannot convert.
    static std::string text_of(const char *name)
    {
        if (!name)
            throw Error(EILSEQ,
                        "the archive has an entry whose name or target is not in this locale's encoding");
        return name;
    }
    static Json link(const std::string &target)
    {
        size_t colons = target.find("::");
        if (colons == target.npos)
            return treeobj::make_symlink(target);
        return treeobj::make_symlink(target.substr(colons + 2), target.substr(0, colons));
    }

    Task<> file(std::string name, std::string content)
    {
        if (content.size() > size_limit_) {
            warn("flux-restore: {}: {} bytes are more than --size-limit: left out", name, content.size());
            co_return;
        }
        Json object;
        if (content.size() <= kvs::max_inline_value) {
            object = treeobj::make_val(content);
        } else {
            std::string blobref = co_await put(std::move(content));
            object = treeobj::make_valref(blobref);
        }
        co_await add(std::move(name), object);
    }

    Task<> add(std::string path, Json object)
    {
        Directory *directory = &root_;
        std::string last;
        if (size_t(std::ranges::count(path, '/')) >= kvs::max_key_parts)
            throw Error(EINVAL, "the archive has an entry of more than {} parts: {}...", kvs::max_key_parts,
                        path.substr(0, 60));
        for (size_t begin = 0; begin <= path.size();) {
            size_t end = std::min(path.find('/', begin), path.size());
            std::string part = name_of_part(path.substr(begin, end - begin));
            begin = end + 1;
            if (part.empty() || part == ".")
                continue;
            if (!last.empty())
                directory = &directory->directories[last];
            last = part;
        }
        if (last.empty())
            throw Error(EINVAL, "the archive has an entry \"{}\" that is no key", path);
        directory->objects[last] = object;
        count_++;
        if (args_.has("verbose"))
            warn("{}", path);
        else if (!args_.has("quiet") && count_ % report_interval == 0)
            warn("flux-restore: restored {} keys so far", count_);
        co_return;
    }

    Task<std::string> store(const Directory &directory)
    {
        Json object = treeobj::make_dir();
        for (const auto &[name, value] : directory.objects)
            treeobj::set_entry(object, name, value);
        for (const auto &[name, below] : directory.directories) {
            std::string blobref = co_await store(below);
            treeobj::set_entry(object, name, treeobj::make_dirref(blobref));
        }
        co_return co_await put(treeobj::encode(object));
    }

    // Its blobref is known before it is stored.
    Task<std::string> put(std::string bytes)
    {
        while (under_way_.size() >= max_requests_)
            co_await oldest();
        std::string name = blobref(hash_, bytes);
        bool direct = args_.has("no-cache");
        auto payload = Payload::raw(std::move(bytes));
        under_way_.push_back(std::unique_ptr<Rpc>(
            new Rpc(handle_.rpc(direct ? "content-backing.store" : "content.store", payload,
                                direct ? RpcOptions {.nodeid = 0} : RpcOptions {}))));
        co_return name;
    }

    Task<> oldest()
    {
        auto request = std::move(under_way_.front());
        under_way_.pop_front();
        co_await arrival_of(*request);
    }

    Handle &handle_;
    const Args &args_;
    HashType hash_;
    size_t size_limit_;
    size_t max_requests_;
    Directory root_;
    std::deque<std::unique_ptr<Rpc>> under_way_;
    size_t count_ = 0;
    double newest_ = 0;
};

bool kvs_is_loaded(Session &flux)
{
    for (auto module : flux.rpc("module.list", {}, {.nodeid = 0})["mods"].elements())
        if (module["name"].string_view() == "kvs")
            return true;
    return false;
}

int run_restore(const Args &args, Session &flux)
{
    if (args.has("checkpoint") == args.has("key"))
        throw UsageError("say where to: --key=NAME in the KVS, or --checkpoint for the next KVS");
    if (args.integer("maxreqs", default_requests) < 1)
        throw UsageError(fmt::format("--maxreqs={}: at least one request is needed", args.value("maxreqs")));
    if (args.has("checkpoint") && kvs_is_loaded(flux))
        throw Error(EBUSY,
                    "--checkpoint: the KVS is loaded and would write its own: unload it first (flux module "
                    "remove kvs), or restore to a --key");
    Restorer restorer(flux, args);
    std::string root = flux.run(restorer.run(args[0]));
    if (args.has("checkpoint")) {
        Json value {{"version", 1}, {"rootref", root}, {"sequence", 0}, {"timestamp", restorer.newest()}};
        flux.rpc("content.checkpoint-put", Json {{"key", "kvs-primary"}, {"value", value}}, {.nodeid = 0});
        return 0;
    }
    Json op {{"key", args.value("key")}, {"flags", 0}, {"dirent", treeobj::make_dirref(root)}};
    flux.rpc("kvs.commit", Json {{"namespace", "primary"}, {"flags", 0}, {"ops", Json::array().append(op)}});
    return 0;
}

} // namespace

const Command restore {
    .name = "restore",
    .args = "INFILE",
    .summary = "Read an archive into the KVS; - is standard input",
    .options = {{"-v,--verbose", "list the keys"},
                {"-q,--quiet", "do not count them"},
                {"--checkpoint", "as the root of the KVS when that is loaded next"},
                {"--key=NAME", "as the directory NAME of the KVS"},
                {"--no-cache", "go to the store behind the caches"},
                {"--size-limit=SIZE", "leave out longer values: bytes, or with k, M or G"},
                {"--maxreqs=N", "store N blobs at a time (default 256)"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_restore,
};

} // namespace flux::cmd

int main(int argc, char **argv)
{
    return flux::cmd::run_program(flux::cmd::restore, "restore", {argv + 1, argv + argc});
}
