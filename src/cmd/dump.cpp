// flux dump: the KVS's primary namespace as an archive that libarchive writes, for flux restore and for
// people.
#include <archive.h>
#include <archive_entry.h>
#include <cmath>
#include <deque>
#include <memory>
#include <unistd.h>

#include "cmd/archive_suffix.hpp"
#include "cmd/command.hpp"
#include "cmd/dump_paths.hpp"
#include "cmd/print.hpp"
#include "cmd/request_under_way.hpp"
#include "common/base/hash.hpp"
#include "common/kvs/tree.hpp"

namespace flux::cmd {

namespace {

constexpr int64_t default_requests = 2;  // blobs that are asked for at a time
constexpr size_t report_interval = 1000; // keys

struct Root {
    std::string blobref;
    double timestamp;
};

Root current_root(const Args &args, Session &flux)
{
    if (!args.has("checkpoint"))
        return {flux.rpc("kvs.getroot", Json {{"namespace", "primary"}}).get<std::string>("rootref"),
                flux.loop().clock().wall_time()};
    Json value =
        flux.rpc("content.checkpoint-get", Json {{"key", "kvs-primary"}}, {.nodeid = 0}).get<Json>("value");
    return {value.get<std::string>("rootref"), value.value<double>("timestamp", 0)};
}

class ArchiveWriter {
public:
    ArchiveWriter(const std::string &path, double timestamp)
        : path_(path), timestamp_(timestamp), archive_(archive_write_new(), archive_write_free)
    {
        bool to_stdout = path == "-";
        if (to_stdout) {
            check(archive_write_set_format_ustar(archive_.get()));
        } else if (archive_write_set_format_filter_by_ext(archive_.get(), path.c_str()) != ARCHIVE_OK) {
            throw UsageError(fmt::format(unknown_suffix, path));
        }
        check(to_stdout ? archive_write_open_fd(archive_.get(), STDOUT_FILENO)
                        : archive_write_open_filename(archive_.get(), path.c_str()));
    }
    void file(const std::string &name, const std::string &content)
    {
        auto entry = make(name, AE_IFREG);
        archive_entry_set_size(entry.get(), int64_t(content.size()));
        check(archive_write_header(archive_.get(), entry.get()));
        for (size_t at = 0; at < content.size();) {
            la_ssize_t n = archive_write_data(archive_.get(), content.data() + at, content.size() - at);
            if (n <= 0)
                check(ARCHIVE_FATAL);
            at += size_t(n);
        }
    }
    void link(const std::string &name, const std::string &target)
    {
        auto entry = make(name, AE_IFLNK);
        archive_entry_set_symlink(entry.get(), target.c_str());
        check(archive_write_header(archive_.get(), entry.get()));
    }
    void close() { check(archive_write_close(archive_.get())); }

private:
    std::unique_ptr<archive_entry, void (*)(archive_entry *)> make(const std::string &name,
                                                                   unsigned type) const
    {
        std::unique_ptr<archive_entry, void (*)(archive_entry *)> entry(archive_entry_new(),
                                                                        archive_entry_free);
        archive_entry_set_pathname(entry.get(), name.c_str());
        archive_entry_set_filetype(entry.get(), type);
        archive_entry_set_perm(entry.get(), 0644);
        archive_entry_set_uid(entry.get(), ::getuid());
        archive_entry_set_gid(entry.get(), ::getgid());
        archive_entry_set_mtime(entry.get(), time_t(std::floor(timestamp_)),
                                long((timestamp_ - std::floor(timestamp_)) * 1e9));
        return entry;
    }
    void check(int result) const
    {
        if (result < ARCHIVE_WARN)
            throw Error(EIO, "{}: {}", path_, archive_error_string(archive_.get()));
    }

    std::string path_;
    double timestamp_;
    std::unique_ptr<archive, int (*)(archive *)> archive_;
};

class Dumper {
public:
    Dumper(Session &flux, const Args &args, ArchiveWriter &out)
        : handle_(flux.handle()), args_(args), out_(out),
          max_requests_(size_t(args.integer("maxreqs", default_requests)))
    {
    }
    // Everything below a root.
    Task<> run(std::string blobref)
    {
        co_await directory(std::move(blobref), "");
        if (!args_.has("quiet") && !args_.has("verbose"))
            warn("flux-dump: archived {} keys", count_);
    }

private:
    std::unique_ptr<Rpc> load(const std::string &blobref)
    {
        auto payload = Payload::raw(value_or_throw(parse_blobref(blobref)).digest);
        bool direct = args_.has("no-cache");
        return std::unique_ptr<Rpc>(
            new Rpc(handle_.rpc(direct ? "content-backing.load" : "content.load", payload,
                                direct ? RpcOptions {.nodeid = 0} : RpcOptions {})));
    }

    // A blob that is not there is fatal unless --ignore-failed-read. Nothing: it is missed.
    Task<std::optional<std::string>> bytes(std::unique_ptr<Rpc> request, std::string blobref, std::string key)
    {
        std::optional<Error> failure;
        try {
            Message answer = co_await arrival_of(*request);
            co_return std::string(answer.payload.bytes());
        } catch (const Error &error) {
            failure = error;
        }
        Error named(failure->errnum(), "{}: {} cannot be loaded: {}", key.empty() ? "the root" : key, blobref,
                    failure->text());
        if (!args_.has("ignore-failed-read"))
            throw named;
        warn("flux-dump: {}: left out", named.text());
        co_return std::nullopt;
    }

    Task<> directory(std::string blobref, std::string key)
    {
        auto blob = co_await bytes(load(blobref), blobref, key);
        if (blob) {
            auto decoded = kvs::decode_directory(*blob);
            co_await entries(*decoded, key);
        }
    }

    Task<> entries(const kvs::Directory &directory_object, std::string key)
    {
        for (const auto &bucket : directory_object.buckets)
            if (auto *ref = std::get_if<kvs::DirRef>(&bucket))
                co_await directory(ref->blobref, key);
            else if (auto *inside = std::get_if<std::shared_ptr<kvs::Directory>>(&bucket))
                co_await entries(**inside, key);
        co_await values(directory_object, key);
        for (const auto &[name, node] : directory_object.entries) {
            std::string child = key.empty() ? name : key + "." + name;
            if (auto *ref = std::get_if<kvs::DirRef>(&node))
                co_await directory(ref->blobref, child);
            else if (auto *inside = std::get_if<std::shared_ptr<kvs::Directory>>(&node))
                co_await entries(**inside, child);
        }
    }

    // The values and links of one directory, with some blobs under way.
    Task<> values(const kvs::Directory &directory_object, std::string key)
    {
        std::deque<std::string> wanted;
        for (const auto &[name, node] : directory_object.entries)
            if (auto *ref = std::get_if<kvs::ValueRef>(&node))
                wanted.insert(wanted.end(), ref->blobrefs->begin(), ref->blobrefs->end());
        std::deque<std::unique_ptr<Rpc>> under_way;
        for (const auto &[name, node] : directory_object.entries) {
            std::string child = key.empty() ? name : key + "." + name;
            if (auto *value = std::get_if<kvs::Value>(&node)) {
                out_.file(path_of_key(child), *value->bytes);
            } else if (auto *link = std::get_if<kvs::Symlink>(&node)) {
                out_.link(path_of_key(child), link->namespace_name.empty()
                                                  ? link->target
                                                  : link->namespace_name + "::" + link->target);
            } else if (auto *ref = std::get_if<kvs::ValueRef>(&node)) {
                std::string content;
                bool whole = true;
                for (const auto &blobref : *ref->blobrefs) {
                    while (!wanted.empty() && under_way.size() < max_requests_) {
                        under_way.push_back(load(wanted.front()));
                        wanted.pop_front();
                    }
                    auto request = std::move(under_way.front());
                    under_way.pop_front();
                    auto part = co_await bytes(std::move(request), blobref, child);
                    whole = whole && part;
                    content += part.value_or("");
                }
                if (!whole)
                    continue;
                out_.file(path_of_key(child), content);
            } else {
                continue;
            }
            count_++;
            if (args_.has("verbose"))
                warn("{}", child);
            else if (!args_.has("quiet") && count_ % report_interval == 0)
                warn("flux-dump: archived {} keys so far", count_);
        }
    }

    Handle &handle_;
    const Args &args_;
    ArchiveWriter &out_;
    size_t max_requests_;
    size_t count_ = 0;
};

int run_dump(const Args &args, Session &flux)
{
    if (args.integer("maxreqs", default_requests) < 1)
        throw UsageError(fmt::format("--maxreqs={}: at least one request is needed", args.value("maxreqs")));
    Root root = current_root(args, flux);
    ArchiveWriter out(args[0], root.timestamp);
    Dumper dumper(flux, args, out);
    flux.run(dumper.run(root.blobref));
    out.close();
    return 0;
}

} // namespace

const Command dump {
    .name = "dump",
    .args = "OUTFILE",
    .summary = "Write the KVS to an archive: .tar, .tgz, .zip, ..., or - for standard output",
    .options = {{"-v,--verbose", "list the keys"},
                {"-q,--quiet", "do not count them"},
                {"--checkpoint", "what the last checkpoint has; the KVS need not be there"},
                {"--no-cache", "ask the store behind the caches"},
                {"--maxreqs=N", "ask for N blobs at a time (default 2)"},
                {"--ignore-failed-read", "leave out what cannot be read"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_dump,
};

} // namespace flux::cmd

int main(int argc, char **argv)
{
    return flux::cmd::run_program(flux::cmd::dump, "dump", {argv + 1, argv + argc});
}
