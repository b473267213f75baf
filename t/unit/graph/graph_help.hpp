// What the graph tests share: files, small machines, and jobspecs in one line.
#pragma once
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "common/graph/graph.hpp"
#include "common/graph/request.hpp"

namespace flux::graph {

inline std::string read_file(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    EXPECT_TRUE(file) << path;
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

// The resources of a jobspec as JSON text, and what goes into attributes.system.
inline Jobspec jobspec_of(const std::string &resources, const std::string &system = "{}")
{
    Json json = Json::parse_or_throw(fmt::format(
        R"({{"version":9999,"resources":{},"tasks":[{{"command":["app"],"slot":"s","count":{{"per_slot":1}}}}],)"
        R"("attributes":{{"system":{}}}}})",
        resources, system));
    return value_or_throw(Jobspec::parse(json));
}

inline JobRequest request_of(const Graph &graph, const std::string &resources,
                             const std::string &system = "{}")
{
    return value_or_throw(compile_request(jobspec_of(resources, system), graph));
}

// cluster0 > rack > node > socket > core, gpu, memory (8 GB each)
struct Size {
    int racks = 1, nodes = 2, sockets = 2, cores = 4, gpus = 1, memories = 1;
};
inline Graph machine(const Size &size)
{
    Graph graph;
    VertexId cluster = graph.add(no_vertex, {.type = "cluster"});
    int node_id = 0;
    for (int r = 0; r < size.racks; r++) {
        VertexId rack = graph.add(cluster, {.type = "rack", .id = r});
        for (int n = 0; n < size.nodes; n++, node_id++) {
            VertexId node = graph.add(rack, {.type = "node", .id = node_id, .rank = node_id});
            for (int s = 0; s < size.sockets; s++) {
                VertexId socket = graph.add(node, {.type = "socket", .id = s});
                graph.add_many(socket, {.type = "core", .id = s * size.cores}, size_t(size.cores), 1);
                graph.add_many(socket, {.type = "gpu", .id = s * size.gpus}, size_t(size.gpus), 1);
                graph.add_many(socket, {.type = "memory", .id = s * size.memories, .size = 8, .unit = "GB"},
                               size_t(size.memories), 1);
            }
        }
    }
    graph.finish();
    return graph;
}

} // namespace flux::graph
