#include <expat.h>
#include <hwloc.h>

#include <memory>
#include <tuple>

#include "common/graph/formats/formats.hpp"
#include "common/graph/readers.hpp"

namespace flux::graph {

namespace {

struct TopologyDeleter {
    void operator()(hwloc_topology *topology) const { hwloc_topology_destroy(topology); }
};

struct Kept { // how an object becomes a vertex
    std::string type;
    int64_t id = 0;
    int64_t size = 1;
    std::string unit;
    std::string basename;
    std::string name;
    std::string device; // LinuxDeviceID
};

class TopologyReader {
public:
    TopologyReader(hwloc_topology_t topology, const std::set<std::string> &only)
        : topology_(topology), only_(only)
    {
    }

    Graph run()
    {
        VertexId cluster = no_vertex;
        if (only_.empty() || only_.contains("cluster"))
            cluster = graph_.add(no_vertex, {.type = "cluster"});
        add(hwloc_get_root_obj(topology_), cluster, 0);
        if (graph_.empty())
            throw Error(EINVAL, "hwloc: nothing of the topology is of an allowed type");
        graph_.finish();
        return std::move(graph_);
    }

private:
    static std::string info(hwloc_obj_t object, const char *key)
    {
        const char *value = hwloc_obj_get_info_by_name(object, key);
        return value ? value : "";
    }

    bool os_device(hwloc_obj_t object, Kept &kept)
    {
        std::string name = object->name ? object->name : "";
        if (object->attr->osdev.type == HWLOC_OBJ_OSDEV_COPROC || name.starts_with("rsmi")) {
            kept.type = "gpu";
            kept.id = split_number(name).second;
            return gpus_.emplace(object->parent, kept.id).second; // CUDA and OpenCL may both know it
        }
        if (object->attr->osdev.type == HWLOC_OBJ_OSDEV_BLOCK) {
            constexpr int64_t kib_per_gb = 1'000'000;
            kept.type = "storage";
            kept.unit = "GB";
            kept.size = std::max<int64_t>(0, std::atoll(info(object, "Size").c_str())) / kib_per_gb;
            kept.device = info(object, "LinuxDeviceID");
            return true;
        }
        return false;
    }

    bool keep(hwloc_obj_t object, Kept &kept)
    {
        kept.id = object->logical_index;
        switch (object->type) {
        case HWLOC_OBJ_MACHINE:
            kept.type = "node";
            kept.name = info(object, "HostName");
            if (!kept.name.empty())
                std::tie(kept.basename, kept.id) = split_number(kept.name);
            break;
        case HWLOC_OBJ_GROUP:
            kept.type = "group";
            break;
        case HWLOC_OBJ_NUMANODE:
            kept.type = "numanode";
            break;
        case HWLOC_OBJ_PACKAGE:
            kept.type = "socket";
            break;
        case HWLOC_OBJ_L1CACHE:
        case HWLOC_OBJ_L2CACHE:
        case HWLOC_OBJ_L3CACHE:
            kept.type = fmt::format("L{}cache", object->attr->cache.depth);
            kept.size = std::max<int64_t>(1, int64_t(object->attr->cache.size / 1024));
            kept.unit = "KiB";
            break;
        case HWLOC_OBJ_CORE:
            kept.type = "core";
            break;
        case HWLOC_OBJ_PU:
            kept.type = "pu";
            break;
        case HWLOC_OBJ_OS_DEVICE:
            if (!os_device(object, kept))
                return false;
            break;
        default:
            return false;
        }
        return only_.empty() || only_.contains(kept.type);
    }

    // Objects that are not kept leave their children to the nearest that is.
    void add(hwloc_obj_t object, VertexId parent, size_t depth)
    {
        if (depth > Graph::max_depth)
            throw Error(EINVAL, "hwloc: the topology is deeper than {}", Graph::max_depth);
        Kept kept;
        VertexId here = parent;
        if (keep(object, kept) && (parent != no_vertex || graph_.empty())) {
            NewVertex vertex {.type = kept.type, .id = kept.id, .size = kept.size, .unit = kept.unit};
            if (kept.type == "node") {
                vertex.rank = 0;
                vertex.basename = kept.basename;
                vertex.name = kept.name;
            }
            here = graph_.add(parent, vertex);
            if (!kept.device.empty())
                graph_.set_property(here, "LinuxDeviceID", kept.device);
        }
        hwloc_obj_t child = nullptr;
        while ((child = hwloc_get_next_child(topology_, object, child)))
            add(child, here, depth + 1);
    }

    hwloc_topology_t topology_;
    const std::set<std::string> &only_;
    Graph graph_;
    std::set<std::pair<hwloc_obj_t, int64_t>> gpus_; // by what they are plugged into, and number
};

// hwloc does not tell why it cannot load something.
std::string what_is_wrong(const std::string &xml)
{
    std::unique_ptr<XML_ParserStruct, decltype(&XML_ParserFree)> parser(XML_ParserCreate(nullptr),
                                                                        XML_ParserFree);
    std::string root;
    XML_SetUserData(parser.get(), &root);
    XML_SetStartElementHandler(parser.get(), [](void *root, const char *name, const char **) {
        if (auto &text = *static_cast<std::string *>(root); text.empty())
            text = std::string(name).substr(0, 40);
    });
    if (XML_Parse(parser.get(), xml.data(), int(xml.size()), 1) == XML_STATUS_ERROR)
        return fmt::format("line {}: {}", XML_GetCurrentLineNumber(parser.get()),
                           XML_ErrorString(XML_GetErrorCode(parser.get())));
    if (root != "topology")
        return fmt::format("the root element is <{}>, expected <topology>", root);
    return "the topology is not one that hwloc can load";
}

} // namespace

Expected<Graph> read_hwloc(const std::string &xml, const std::set<std::string> &only)
try {
    hwloc_topology_t raw = nullptr;
    if (hwloc_topology_init(&raw) != 0)
        return fail(ENOMEM, "hwloc: no topology could be made");
    std::unique_ptr<hwloc_topology, TopologyDeleter> topology(raw);
    ::setenv("HWLOC_HIDE_ERRORS", "2", 0); // what is wrong comes back as our error
    if (hwloc_topology_set_xmlbuffer(raw, xml.c_str(), int(xml.size() + 1)) != 0)
        return fail(EINVAL, "hwloc: {}", what_is_wrong(xml));
    hwloc_topology_set_io_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
    hwloc_topology_set_cache_types_filter(
        raw, HWLOC_TYPE_FILTER_KEEP_STRUCTURE); // no chain of caches above each core
    hwloc_topology_set_icache_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_NONE);
    if (hwloc_topology_load(raw) != 0)
        return fail(EINVAL, "hwloc: {}", what_is_wrong(xml));
    return TopologyReader(raw, only).run();
} catch (const Error &error) {
    return std::unexpected(error);
}

} // namespace flux::graph
