// flux archive: files under one key of the KVS (RFC 37), which every node can extract from the caches of its
// broker.
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "cmd/commands.hpp"
#include "cmd/kvs_client.hpp"
#include "cmd/print.hpp"
#include "common/base/encoding.hpp"
#include "common/base/hash.hpp"
#include "common/job/shell_channel.hpp"
#include "common/kvs/treeobj.hpp"

namespace flux::cmd {

namespace {

namespace fs = std::filesystem;

constexpr const char *default_name = "main";
constexpr size_t default_chunk = 1u << 20; // bytes of a blob
constexpr size_t default_small = 1u << 10; // a smaller file is in the archive itself
constexpr size_t most_bytes = INT32_MAX;   // of these two
constexpr mode_t permissions = 07777;

std::string key_of(const Args &args)
{
    std::string name = args.value("name", default_name);
    if (name.empty() || name.find_first_of("./") != name.npos)
        throw UsageError(fmt::format("--name={}: a name without . and / was expected", name));
    return "archive." + name;
}

std::string namespace_of_archive(const Args &args)
{
    const char *given = getenv("FLUX_KVS_NAMESPACE");
    return args.has("no-force-primary") && given && *given ? given : "primary";
}

// A descriptor with its path for messages.
class File {
public:
    File(std::string path, int flags, mode_t mode = 0)
        : path_(std::move(path)), fd_(::open(path_.c_str(), flags | O_CLOEXEC, mode))
    {
        if (fd_ < 0)
            fail("open");
    }
    File(const File &) = delete;
    ~File() { ::close(fd_); }
    int fd() const { return fd_; }
    [[noreturn]] void fail(const char *what) const
    {
        throw Error(errno, "cannot {} {}: {}", what, path_, errno_text(errno));
    }
    std::string read(off_t at, size_t size) const
    {
        std::string out(size, '\0');
        size_t got = 0;
        while (got < size) {
            ssize_t n = ::pread(fd_, out.data() + got, size - got, at + off_t(got));
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                fail("read");
            if (n == 0)
                throw Error(EIO, "{} has become shorter while it was read", path_);
            got += size_t(n);
        }
        return out;
    }
    void write(off_t at, std::string_view bytes) const
    {
        while (!bytes.empty()) {
            ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), at);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                fail("write");
            bytes.remove_prefix(size_t(n));
            at += n;
        }
    }

private:
    std::string path_;
    int fd_;
};

// ---- create

class Creator {
public:
    Creator(const Args &args, Session &flux)
        : flux_(flux), hash_(value_or_throw(parse_hash_type(flux.attribute("content.hash")))),
          chunk_(args.bytes("chunksize", default_chunk, most_bytes)),
          small_(args.bytes("small-file-threshold", default_small, most_bytes)),
          verbose_(args.level("verbose") > 0)
    {
        if (chunk_ == 0)
            chunk_ = most_bytes;
    }
    void add(const fs::path &path)
    {
        struct stat info {};
        if (::lstat(path.c_str(), &info) < 0)
            throw Error(errno, "cannot archive {}: {}", path.string(), errno_text(errno));
        auto name = path.lexically_normal().relative_path();
        if (!name.has_filename())
            name = name.parent_path();
        for (const auto &part : name)
            if (part == "..")
                throw Error(EINVAL, "cannot archive {}: it leads out of the directory (-C names another)",
                            path.string());
        if (name != "." && !name.empty()) {
            if (verbose_)
                warn("{}", name.string());
            files_.append(object_of(path, name, info));
        }
        if (!S_ISDIR(info.st_mode))
            return;
        std::vector<fs::path> below;
        std::error_code failed;
        for (const auto &entry : fs::directory_iterator(path, failed))
            below.push_back(entry.path());
        if (failed)
            throw Error(failed.value(), "cannot archive {}: {}", path.string(), failed.message());
        std::ranges::sort(below);
        for (const auto &entry : below)
            add(entry);
    }
    const Json &files() const { return files_; }
    const std::vector<std::string> &blobrefs() const { return blobrefs_; }

private:
    Json object_of(const fs::path &path, const fs::path &name, const struct stat &info)
    {
        Json out {{"path", name.string()},
                  {"mode", uint64_t(info.st_mode)},
                  {"mtime", int64_t(info.st_mtime)},
                  {"ctime", int64_t(info.st_ctime)}};
        if (S_ISLNK(info.st_mode))
            out.set("data", fs::read_symlink(path).string());
        else if (S_ISREG(info.st_mode))
            add_content(out, File(path.string(), O_RDONLY), uint64_t(info.st_size));
        else if (!S_ISDIR(info.st_mode))
            throw Error(EINVAL, "cannot archive {}: it is neither a file, a directory nor a symbolic link",
                        path.string());
        return out;
    }
    void add_content(Json &out, const File &file, uint64_t size)
    {
        out.set("size", size);
        if (size == 0)
            return;
        if (size <= small_) {
            std::string bytes = file.read(0, size);
            bool text = shell_channel::is_text(bytes);
            out.set("encoding", text ? "utf-8" : "base64").set("data", text ? bytes : base64_encode(bytes));
            return;
        }
        Json regions = Json::array();
        off_t at = 0;
        while (at < off_t(size)) { // what is no hole
            off_t begin = ::lseek(file.fd(), at, SEEK_DATA);
            if (begin < 0 && errno == ENXIO)
                break;
            if (begin < 0)
                file.fail("read");
            off_t end = ::lseek(file.fd(), begin, SEEK_HOLE);
            if (end < 0)
                file.fail("read");
            end = std::min(end, off_t(size));
            for (at = begin; at < end;) {
                size_t length = std::min(chunk_, size_t(end - at));
                regions.append(
                    Json::array().append(int64_t(at)).append(length).append(store(file.read(at, length))));
                at += off_t(length);
            }
        }
        if (!regions.empty())
            out.set("encoding", "blobvec").set("data", regions);
    }
    std::string store(const std::string &bytes)
    {
        std::string ref = blobref(hash_, bytes);
        Message answer = flux_.call("content.store", Payload::raw(bytes));
        if (answer.payload.bytes() != value_or_throw(parse_blobref(ref)).digest)
            throw Error(EPROTO, "the store answered with another hash than that of the blob {}", ref);
        blobrefs_.push_back(ref);
        return ref;
    }

    Session &flux_;
    HashType hash_;
    size_t chunk_, small_;
    bool verbose_;
    Json files_ = Json::array();
    std::vector<std::string> blobrefs_;
};

void change_directory(const Args &args)
{
    std::string directory = args.value("directory");
    if (!directory.empty() && ::chdir(directory.c_str()) < 0)
        throw Error(errno, "--directory: cannot change to {}: {}", directory, errno_text(errno));
}

Json parse_archive(const std::string &text, const std::string &key)
{
    auto files = Json::parse(text);
    if (!files || (!files->is_array() && !files->is_object()))
        throw Error(EINVAL, "{} is no archive (RFC 37): {}", key,
                    files ? "neither an array nor an object" : files.error().text());
    if (files->is_array())
        return *files;
    Json out = Json::array(); // a set: the keys are the paths
    for (auto [path, object] : files->members())
        out.append(object.shallow_copy().set("path", path));
    return out;
}

std::optional<std::string> find_value(Session &flux, const std::string &key, const std::string &space)
{
    try {
        return kvs_client::value_of(kvs_client::lookup(flux, key, space, 0), key);
    } catch (const Error &error) {
        if (error.errnum() != ENOENT)
            throw;
    }
    return std::nullopt;
}

int run_archive_create(const Args &args, Session &flux)
{
    if (args.has("overwrite") && args.has("append"))
        throw UsageError("--overwrite and --append exclude each other");
    std::string key = key_of(args), space = namespace_of_archive(args);
    auto before = find_value(flux, key, space);
    if (before && !args.has("overwrite") && !args.has("append"))
        throw Error(EEXIST,
                    "{} exists: --overwrite replaces it, --append adds to it, --name gives another name",
                    key);
    change_directory(args);
    Creator creator(args, flux);
    for (const auto &path : args.positional())
        creator.add(path);
    Json files = creator.files();
    if (before && args.has("append")) {
        files = parse_archive(*before, key).copy();
        for (auto file : creator.files().elements())
            files.append(file);
    }
    std::vector<kvs_client::Operation> operations {{key, treeobj::make_val(files.dump())}};
    std::vector<std::string> refs;
    if (args.has("preserve"))
        for (auto file : files.elements())
            if (file["encoding"].string_view() == "blobvec")
                for (auto region : file["data"].elements())
                    refs.push_back(region[size_t(2)].as<std::string>());
    if (!refs.empty())
        operations.push_back({key + "_blobs", treeobj::make_valref(refs)});
    else if (args.has("overwrite"))
        operations.push_back({key + "_blobs", Json(nullptr)});
    kvs_client::commit(flux, space, operations);
    return 0;
}

// ---- list, extract, remove

Json read_archive(const Args &args, Session &flux, bool may_wait)
{
    std::string key = key_of(args), space = namespace_of_archive(args);
    bool wait = may_wait && args.has("waitcreate");
    if (!wait)
        return parse_archive(kvs_client::value_of(kvs_client::lookup(flux, key, space, 0), key), key);
    double timeout = args.value("waitcreate") == "true" ? 0 : args.duration("waitcreate", 0);
    RpcOptions options {.timeout = seconds(timeout)};
    Json answer =
        flux.rpc("kvs.lookup", kvs_client::lookup_request(key, space, kvs_client::flag::waitcreate), options);
    return parse_archive(kvs_client::value_of(answer["val"], key), key);
}

// The files that the pattern names, each looked at before anything is done.
struct Entry {
    std::string path;
    mode_t mode;
    Json object;
};

std::vector<Entry> entries_of(const Json &files, const std::string &pattern)
{
    std::vector<Entry> out;
    for (auto object : files.elements()) {
        Entry entry {object.get<std::string>("path"), object.get<mode_t>("mode"), object};
        fs::path path(entry.path);
        bool inside = !entry.path.empty() && path.is_relative() && entry.path.find('\0') == entry.path.npos;
        for (const auto &part : path)
            inside &= part != "..";
        if (!inside)
            throw Error(EINVAL, "the archive has the path \"{}\", which leads out of a directory",
                        entry.path);
        if (pattern.empty() || fnmatch(pattern.c_str(), entry.path.c_str(), 0) == 0)
            out.push_back(std::move(entry));
    }
    return out;
}

char type_letter(mode_t mode)
{
    return S_ISDIR(mode) ? 'd' : S_ISLNK(mode) ? 'l' : S_ISREG(mode) ? '-' : '?';
}

int run_archive_list(const Args &args, Session &flux)
{
    for (const auto &[path, mode, object] :
         entries_of(read_archive(args, flux, false), args.size() > 0 ? args[0] : "")) {
        if (args.has("raw"))
            print("{}\n", object.dump());
        else if (args.has("long"))
            print("{}{:04o} {:>10} {}{}\n", type_letter(mode), mode & permissions,
                  object.value<uint64_t>("size", 0), path,
                  S_ISLNK(mode) ? " -> " + object.value<std::string>("data", "") : "");
        else
            print("{}\n", path);
    }
    return 0;
}

class Extractor {
public:
    Extractor(Session &flux, bool overwrite) : flux_(flux), overwrite_(overwrite), root_(fs::canonical("."))
    {
    }

    void extract(const Entry &entry)
    {
        std::error_code failed;
        fs::path path(entry.path);
        fs::create_directories(path.parent_path(), failed);
        // A link of the archive, or of somebody else, may lead elsewhere.
        auto parent = fs::weakly_canonical(root_ / path.parent_path(), failed);
        if (auto [end, unused] = std::ranges::mismatch(root_, parent); failed || end != root_.end())
            throw Error(EINVAL, "{} would be written outside of {}", entry.path, root_.string());
        if (S_ISDIR(entry.mode)) {
            fs::create_directory(path, failed);
            if (!failed)
                ::chmod(path.c_str(), (entry.mode & permissions) | S_IRWXU);
        } else if (S_ISLNK(entry.mode)) {
            make_room(path);
            fs::create_symlink(entry.object.get<std::string>("data"), path, failed);
        } else if (S_ISREG(entry.mode)) {
            make_room(path);
            write(path, entry);
        } else {
            throw Error(EINVAL, "{} is neither a file, a directory nor a symbolic link", entry.path);
        }
        if (failed)
            throw Error(failed.value(), "cannot make {}: {}", entry.path, failed.message());
    }

private:
    void make_room(const fs::path &path)
    {
        std::error_code ignored;
        if (!overwrite_ && fs::symlink_status(path, ignored).type() != fs::file_type::not_found)
            throw Error(EEXIST, "{} exists: --overwrite replaces it", path.string());
        fs::remove(path, ignored);
    }
    void write(const fs::path &path, const Entry &entry)
    {
        File file(path.string(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        const Json &object = entry.object;
        auto encoding = object.value<std::string>("encoding", "");
        Json data = object["data"];
        if (encoding == "blobvec") {
            for (auto region : data.elements())
                write_region(file, region, entry.path);
        } else if (encoding == "utf-8") {
            file.write(0, data.as<std::string>());
        } else if (encoding == "base64") {
            file.write(0, value_or_throw(base64_decode(data.as<std::string>())));
        } else if (encoding.empty() && data) { // JSON as it stands
            file.write(0, data.dump() + "\n");
        } else if (!encoding.empty()) {
            throw Error(EINVAL, "{} has the encoding {}: utf-8, base64 and blobvec are known here",
                        entry.path, encoding);
        }
        if (auto size = object.find<int64_t>("size"); size && ::ftruncate(file.fd(), *size) < 0)
            file.fail("set the size of");
        ::fchmod(file.fd(), entry.mode & permissions);
        if (auto time = object.find<int64_t>("mtime")) {
            timespec times[2] {{0, UTIME_OMIT}, {*time, 0}};
            ::futimens(file.fd(), times);
        }
    }
    void write_region(const File &file, const Json &region, const std::string &path)
    {
        auto at = region[size_t(0)].as<int64_t>();
        auto size = region[size_t(1)].as<uint64_t>();
        auto ref = region[size_t(2)].as<std::string>();
        std::string digest = value_or_throw(parse_blobref(ref)).digest;
        Message blob;
        try {
            blob = flux_.call("content.load", Payload::raw(digest));
        } catch (const Error &error) {
            throw Error(error.errnum(), "{}: {}: {}", path, ref, error.text());
        }
        if (at < 0 || blob.payload.bytes().size() != size)
            throw Error(EINVAL, "{}: {} has {} bytes, the archive says {}", path, ref,
                        blob.payload.bytes().size(), size);
        file.write(at, blob.payload.bytes());
    }

    Session &flux_;
    bool overwrite_;
    fs::path root_;
};

int run_archive_extract(const Args &args, Session &flux)
{
    auto entries = entries_of(read_archive(args, flux, true), args.size() > 0 ? args[0] : "");
    change_directory(args);
    Extractor extractor(flux, args.has("overwrite"));
    for (const auto &entry : entries) {
        if (args.has("list-only"))
            print("{}\n", entry.path);
        else if (args.level("verbose") > 0)
            warn("{}", entry.path);
        if (!args.has("list-only"))
            extractor.extract(entry);
    }
    return 0;
}

int run_archive_remove(const Args &args, Session &flux)
{
    std::string key = key_of(args), space = namespace_of_archive(args);
    if (!args.has("force"))
        kvs_client::lookup(flux, key, space, 0);
    kvs_client::commit(flux, space, {{key, Json(nullptr)}, {key + "_blobs", Json(nullptr)}});
    return 0;
}

const Option name_option {"-n,--name=NAME", "the archive (main)"};
const Option primary_option {"--no-force-primary", "in FLUX_KVS_NAMESPACE, if that is set"};
const Option directory_option {"-C,--directory=DIR", "in this directory"};
const Option verbose_option {"-v,--verbose[=LEVEL]", "name each file on standard error"};

const Command archive_create {
    .name = "create",
    .args = "PATH...",
    .summary = "Store files, and directories with what is in them",
    .options = {name_option,
                directory_option,
                {"--overwrite", "in place of an archive of this name"},
                {"--append", "in addition to an archive of this name"},
                {"--preserve", "keep the content over a dump and a restart"},
                {"--chunksize=N", "store large files in blobs of at most N bytes (1M); 0: in one"},
                {"--small-file-threshold=N", "keep files up to N bytes in the archive itself (1K)"},
                {"--mmap", "taken, for scripts: files are copied"},
                primary_option,
                verbose_option},
    .min_args = 1,
    .run = run_archive_create,
};
const Command archive_list {
    .name = "list",
    .args = "[GLOB]",
    .summary = "Show what is in an archive",
    .options = {name_option,
                {"-l,--long", "with type, mode and size"},
                {"--raw", "as JSON (RFC 37)"},
                primary_option},
    .max_args = 1,
    .run = run_archive_list,
};
const Command archive_extract {
    .name = "extract",
    .args = "[GLOB]",
    .summary = "Write the files of an archive, those that match",
    .options = {name_option,
                directory_option,
                {"-t,--list-only", "only show what would be written"},
                {"--overwrite", "in place of files that are there"},
                {"--waitcreate[=FSD]", "wait until there is such an archive, at most so long"},
                primary_option,
                verbose_option},
    .max_args = 1,
    .run = run_archive_extract,
};
const Command archive_remove {
    .name = "remove",
    .summary = "Remove an archive",
    .options = {name_option, {"-f,--force", "it is no error if there is none"}, primary_option},
    .max_args = 0,
    .run = run_archive_remove,
};

} // namespace

const Command archive {
    .name = "archive",
    .summary = "Keep files in the instance for all nodes to extract",
    .subcommands = {&archive_create, &archive_list, &archive_extract, &archive_remove},
};

} // namespace flux::cmd
