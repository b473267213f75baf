// flux content: the content store (RFC 10), blobs by their hash.
#include "cmd/commands.hpp"
#include "cmd/output_format.hpp"
#include "cmd/print.hpp"
#include "common/base/encoding.hpp"
#include "common/base/hash.hpp"
#include "common/base/text.hpp"

namespace flux::cmd {

namespace {

constexpr size_t default_chunk = 1u << 20; // bytes of a blob, when the instance does not say otherwise

constexpr const char *checkpoint_key = "kvs-primary";

// The service behind the caches, if there is one, and where it is.
struct Service {
    std::string name = "content";
    RpcOptions options {};
};

Service service_of(const Args &args, Session &flux)
{
    if (!args.has("bypass-cache"))
        return {};
    for (auto module : flux.rpc("module.list", {}, {.nodeid = 0})["mods"].elements())
        for (auto service : module["services"].elements())
            if (service.string_view() == "content-backing")
                return {"content-backing", {.nodeid = 0}};
    throw Error(ENOSYS, "--bypass-cache: there is nothing behind the cache: the instance has no statedir");
}

int run_content_store(const Args &args, Session &flux)
{
    int64_t chunk = args.integer("chunksize", int64_t(default_chunk));
    if (chunk <= 0)
        throw UsageError("--chunksize must be positive");
    HashType type = value_or_throw(parse_hash_type(flux.attribute("content.hash")));
    Service service = service_of(args, flux);
    std::string data = read_stdin();
    size_t begin = 0;
    do { // nothing at all is a blob too
        std::string part = data.substr(begin, size_t(chunk));
        std::string expected = blobref(type, part);
        Message answer = flux.call(service.name + ".store", Payload::raw(part), service.options);
        if (answer.payload.bytes() != value_or_throw(parse_blobref(expected)).digest)
            throw Error(EPROTO, "the store answered with another hash than that of the blob {}", expected);
        print("{}\n", expected);
        begin += part.size();
    } while (begin < data.size());
    return 0;
}

int run_content_load(const Args &args, Session &flux)
{
    std::vector<std::string> refs = args.positional();
    std::string input = refs.empty() ? read_stdin() : "";
    for (std::string_view line : split_words(input, "\n"))
        refs.emplace_back(line);
    Service service = service_of(args, flux);
    std::vector<std::string> hashes;
    for (const auto &ref : refs)
        hashes.push_back(value_or_throw(parse_blobref(ref)).digest);
    for (size_t i = 0; i < refs.size(); i++) {
        try {
            Message answer = flux.call(service.name + ".load", Payload::raw(hashes[i]), service.options);
            write_out(answer.payload.bytes());
        } catch (const Error &error) {
            throw Error(error.errnum(), "{}: {}", refs[i], error.what());
        }
    }
    return 0;
}

int run_content_flush(const Args &, Session &flux)
{
    flux.rpc("content.flush");
    return 0;
}

int run_content_dropcache(const Args &, Session &flux)
{
    flux.rpc("content.dropcache");
    return 0;
}

const FormatFields checkpoint_fields {
    .thing = "checkpoints",
    .headers = {{"sequence", "SEQUENCE"}, {"timestamp", "TIME"}, {"rootref", "ROOTREF"}},
};
constexpr std::string_view checkpoint_format = "{sequence:>10} {timestamp!d:%FT%T::<20} {rootref}";

int run_content_checkpoint_list(const Args &args, Session &flux)
{
    Json answer = flux.rpc("content.checkpoint-get", Json {{"key", checkpoint_key}}, {.nodeid = 0});
    if (args.has("json")) {
        print("{}\n", answer.dump());
        return 0;
    }
    Json list = answer["value"];
    if (list.is_object()) { // one
        Json one = Json::array();
        one.append(list);
        list = one;
    }
    auto get = [&](size_t row, std::string_view field) -> FieldValue {
        Json value = list[row][field];
        if (value.is_integer())
            return value.as<int64_t>();
        return value.is_real() ? FieldValue(value.as<double>()) : FieldValue(value.string_view());
    };
    auto format = OutputFormat::parse(checkpoint_format, checkpoint_fields);
    write_out(format.render(list.size(), get, {.header = !args.has("no-header")}));
    return 0;
}

int run_content_checkpoint_update(const Args &args, Session &flux)
{
    value_or_throw(parse_blobref(args[0]));
    int64_t sequence = 0;
    try {
        sequence = flux.rpc("content.checkpoint-get", Json {{"key", checkpoint_key}}, {.nodeid = 0})["value"]
                       .value<int64_t>("sequence", 0);
    } catch (const Error &error) {
        if (error.errnum() != ENOENT)
            throw;
    }
    Json value {{"version", 1},
                {"rootref", args[0]},
                {"sequence", sequence},
                {"timestamp", flux.loop().clock().wall_time()}};
    flux.rpc("content.checkpoint-put", Json {{"key", checkpoint_key}, {"value", value}}, {.nodeid = 0});
    return 0;
}

const Option bypass_option {"-b,--bypass-cache", "ask the store behind the caches"};

const Command content_store {.name = "store",
                             .summary = "Store standard input and show its blobrefs",
                             .options = {bypass_option, {"--chunksize=N", "in blobs of N bytes"}},
                             .max_args = 0,
                             .run = run_content_store};
const Command content_load {.name = "load",
                            .args = "[BLOBREF...]",
                            .summary =
                                "Write blobs to standard output; BLOBREFs may come from standard input",
                            .options = {bypass_option},
                            .run = run_content_load};
const Command content_flush {.name = "flush",
                             .summary = "Return when all blobs of this broker's cache are stored",
                             .max_args = 0,
                             .run = run_content_flush};
const Command content_dropcache {.name = "dropcache",
                                 .summary = "Forget what this broker's cache need not keep",
                                 .max_args = 0,
                                 .run = run_content_dropcache};
const Command content_checkpoint_list {.name = "list",
                                       .summary = "Show the checkpoints: KVS roots that survive a restart",
                                       .options = {{"-n,--no-header", "no header"}, {"-j,--json", "as JSON"}},
                                       .max_args = 0,
                                       .run = run_content_checkpoint_list};
const Command content_checkpoint_update {.name = "update",
                                         .args = "BLOBREF",
                                         .summary = "Make this blob the KVS root after the next restart",
                                         .min_args = 1,
                                         .max_args = 1,
                                         .run = run_content_checkpoint_update};
const Command content_checkpoint {.name = "checkpoint",
                                  .summary = "Look at and set checkpoints",
                                  .subcommands = {&content_checkpoint_list, &content_checkpoint_update}};

} // namespace

const Command content {
    .name = "content",
    .summary = "Store and load blobs by their hash",
    .subcommands = {&content_checkpoint, &content_dropcache, &content_flush, &content_load, &content_store},
};

} // namespace flux::cmd
