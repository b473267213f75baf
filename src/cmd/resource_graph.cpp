// flux resource graph: a picture of the instance's resources, with what is allocated and what is down in
// colour.
#include <array>
#include <cmath>

#include "cmd/print.hpp"
#include "cmd/resource_commands.hpp"
#include "cmd/resource_view.hpp"
#include "cmd/svg_text.hpp"

namespace flux::cmd {

namespace {

constexpr size_t max_drawn_nodes = 10000;
constexpr int cell = 11, gap = 2, padding = 8, title = 18, cells_in_row = 16, nodes_width = 960;

enum class State { free, allocated, down };
constexpr std::array<const char *, 3> colours {"#8fbc8f", "#2a6f97", "#bbbbbb"};
constexpr std::array<const char *, 3> state_names {"free", "allocated", "down"};

struct Part { // one core or gpu
    std::string name;
    State state;
};

struct DrawnNode {
    uint32_t rank;
    std::string host;
    bool down;
    std::vector<Part> parts;
};

std::vector<DrawnNode> drawn_nodes(const ResourceSet &all, const ResourceSet &allocated,
                                   const ResourceSet &down)
{
    if (all.nnodes() > max_drawn_nodes)
        throw Error(E2BIG, "{} nodes are too many for a picture (at most {}); choose some with --include",
                    all.nnodes(), max_drawn_nodes);
    std::vector<DrawnNode> out;
    for (const auto &node : all.nodes()) {
        DrawnNode drawn {node.rank, node.hostname(), down.find(node.rank).has_value(), {}};
        auto used = allocated.find(node.rank);
        auto add = [&](const char *type, const Idset &ids, const Idset *taken) {
            for (uint32_t id : ids)
                drawn.parts.push_back({fmt::format("{}{}", type, id), taken && taken->contains(id)
                                                                          ? State::allocated
                                                                      : drawn.down ? State::down
                                                                                   : State::free});
        };
        add("core", node.cores(), used ? &used->cores() : nullptr);
        add("gpu", node.gpus(), used ? &used->gpus() : nullptr);
        out.push_back(std::move(drawn));
    }
    return out;
}

std::string dot(const std::vector<DrawnNode> &nodes)
{
    std::string out =
        "digraph resources {\n  node [shape=box, style=filled, fillcolor=white];\n  instance;\n";
    auto to = std::back_inserter(out);
    for (const auto &node : nodes) {
        fmt::format_to(to, "  rank{0} [label=\"{1}\\nrank {0}\"{2}];\n  instance -> rank{0};\n", node.rank,
                       node.host,
                       node.down ? fmt::format(", fillcolor=\"{}\"", colours[size_t(State::down)]) : "");
        for (const auto &part : node.parts)
            fmt::format_to(to,
                           "  rank{0}_{1} [label=\"{1}\", fillcolor=\"{2}\"];\n  rank{0} -> rank{0}_{1};\n",
                           node.rank, part.name, colours[size_t(part.state)]);
    }
    return out + "}\n";
}

std::string svg(const std::vector<DrawnNode> &nodes)
{
    size_t most = 1;
    for (const auto &node : nodes)
        most = std::max(most, node.parts.size());
    int across = int(std::min<size_t>(most, cells_in_row));
    int down = int((most + size_t(across) - 1) / size_t(across));
    int width = std::max(120, across * (cell + gap) + 2 * padding);
    int height = title + down * (cell + gap) + padding;
    int columns = std::max(1, nodes_width / (width + padding));
    int rows = (int(nodes.size()) + columns - 1) / columns;
    int legend = 30;
    std::string out = fmt::format(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{0}' height='{1}' viewBox='0 0 {0} {1}' "
        "font-family='sans-serif' font-size='11'>\n<rect width='100%' height='100%' fill='white'/>\n",
        columns * (width + padding) + padding, legend + rows * (height + padding) + padding);
    auto to = std::back_inserter(out);
    for (size_t i = 0; i < colours.size(); i++)
        fmt::format_to(
            to, "<rect x='{}' y='9' width='{}' height='{}' fill='{}'/><text x='{}' y='18'>{}</text>\n",
            padding + int(i) * 90, cell, cell, colours[i], padding + int(i) * 90 + cell + 5, state_names[i]);
    for (size_t i = 0; i < nodes.size(); i++) {
        const auto &node = nodes[i];
        int x = padding + int(i) % columns * (width + padding);
        int y = legend + int(i) / columns * (height + padding);
        fmt::format_to(to,
                       "<rect x='{}' y='{}' width='{}' height='{}' fill='none' stroke='{}'/><text x='{}' "
                       "y='{}'>{} ({})</text>\n",
                       x, y, width, height, node.down ? "#c00" : "#555", x + padding, y + 13,
                       svg_text(node.host), node.rank);
        for (size_t p = 0; p < node.parts.size(); p++) {
            const auto &part = node.parts[p];
            bool gpu = part.name.starts_with("gpu");
            fmt::format_to(
                to,
                "<rect x='{}' y='{}' width='{}' height='{}' rx='{}' fill='{}'><title>{}: {}</title></rect>\n",
                x + padding + int(p) % across * (cell + gap), y + title + int(p) / across * (cell + gap),
                cell, cell, gpu ? cell / 2 : 1, colours[size_t(part.state)], part.name,
                state_names[size_t(part.state)]);
        }
    }
    return out + "</svg>\n";
}

int run_resource_graph(const Args &args, Session &flux)
{
    if (args.has("dot") && args.has("svg"))
        throw UsageError("--dot and --svg: only one of them is possible");
    SchedulerView view(flux);
    if (args.has("include"))
        view.keep_targets(args.value("include"));
    auto nodes = drawn_nodes(view.state("all"), view.state("allocated"), view.state("down"));
    write_out(args.has("dot") ? dot(nodes) : svg(nodes));
    return 0;
}

} // namespace

const Command resource_graph {.name = "graph",
                              .summary = "Draw nodes, cores and gpus, with what is allocated in colour",
                              .options = {{"--svg", "as SVG (the default)"},
                                          {"--dot", "for GraphViz"},
                                          {"-i,--include=TARGETS", "only these ranks or hosts"}},
                              .max_args = 0,
                              .run = run_resource_graph};

} // namespace flux::cmd
