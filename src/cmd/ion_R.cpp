// flux ion-R: R with the graph of its resources as scheduling key.
#include <fstream>

#include "cmd/command.hpp"
#include "cmd/print.hpp"
#include "common/graph/emit.hpp"
#include "common/graph/readers.hpp"

namespace flux::cmd {

namespace {

int run_encode(const Args &args, Session &)
{
    std::string input = args.value("input", "-");
    auto json = Json::parse(read_file(input));
    auto R = json ? ResourceSet::from_json(*json) : std::unexpected(json.error());
    if (!R)
        throw Error(EINVAL, "{}: {}", input == "-" ? "standard input" : input, R.error().text());
    auto graph = graph::graph_of(*R);
    Json out = json->copy();
    out.set("scheduling", graph::emit_jgf(graph, graph::whole_graph(graph), false));
    std::string text = out.dump() + "\n";
    std::string output = args.value("output", "-");
    if (output == "-") {
        write_out(text);
        return 0;
    }
    std::ofstream file(output);
    file << text;
    file.close();
    if (!file)
        throw Error(errno ? errno : EIO, "cannot write {}: {}", output, errno_text(errno ? errno : EIO));
    return 0;
}

const Command encode {
    .name = "encode",
    .summary = "Add to R (RFC 20) the graph of its resources, as its scheduling key",
    .options = {{"--input=FILE", "R; without it, or -, standard input"},
                {"--output=FILE", "where to write it; without it, or -, standard output"}},
    .max_args = 0,
    .run = run_encode,
};

const Command ion_R {
    .name = "ion-R", .summary = "Convert R for the graph scheduler", .subcommands = {&encode}};

} // namespace

} // namespace flux::cmd

int main(int argc, char **argv)
{
    return flux::cmd::run_program(flux::cmd::ion_R, "ion-R", {argv + 1, argv + argc});
}
