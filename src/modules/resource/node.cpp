#include "modules/resource/node.hpp"

#include <hwloc.h>
#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

namespace flux {

namespace {

class Topology {
public:
    explicit Topology(bool restrict, const char *xml_file = nullptr)
    {
        if (hwloc_topology_init(&topology_) < 0)
            throw Error(EIO, "hwloc cannot be initialised");
        hwloc_topology_set_io_types_filter(topology_, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
        bool read = !xml_file || hwloc_topology_set_xml(topology_, xml_file) == 0;
        if (!read || hwloc_topology_load(topology_) < 0) {
            hwloc_topology_destroy(topology_);
            throw Error(EIO, "hwloc cannot read {}", xml_file ? xml_file : "this node's topology");
        }
        if (restrict && !xml_file)
            restrict_to_affinity();
    }
    // Of XML, with what of it has these cores.
    Topology(const std::string &xml, const Idset &cores)
    {
        if (hwloc_topology_init(&topology_) < 0)
            throw Error(EIO, "hwloc cannot be initialised");
        hwloc_topology_set_io_types_filter(topology_, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
        bool loaded = hwloc_topology_set_xmlbuffer(topology_, xml.c_str(), int(xml.size() + 1)) == 0 &&
                      hwloc_topology_load(topology_) == 0;
        bool kept = loaded && restrict_to(cores);
        if (kept)
            return;
        hwloc_topology_destroy(topology_);
        throw Error(EINVAL, "this node's topology {}",
                    loaded ? fmt::format("has no core {}", cores.format()) : "cannot be read again by hwloc");
    }
    Topology(const Topology &) = delete;
    ~Topology() { hwloc_topology_destroy(topology_); }

    NodeInventory inventory() const
    {
        NodeInventory found;
        int cores = hwloc_get_nbobjs_by_type(topology_, HWLOC_OBJ_CORE);
        if (cores <= 0)
            cores = std::max(1, hwloc_get_nbobjs_by_type(topology_, HWLOC_OBJ_PU));
        found.cores = uint32_t(cores);
        for (hwloc_obj_t device = nullptr; (device = hwloc_get_next_osdev(topology_, device));) {
            std::string_view subtype = device->subtype ? device->subtype : "";
            // One name for each device, not for each driver's view of it.
            if (device->attr->osdev.type == HWLOC_OBJ_OSDEV_COPROC &&
                (subtype == "CUDA" || subtype == "RSMI" || subtype == "LevelZero"))
                found.gpus++;
        }
        return found;
    }
    std::string xml() const
    {
        char *buffer = nullptr;
        int length = 0;
        if (hwloc_topology_export_xmlbuffer(topology_, &buffer, &length, 0) < 0)
            throw Error(EIO, "hwloc cannot write this node's topology as XML");
        std::string out(buffer, length > 0 ? size_t(length) - 1 : 0); // the length counts the NUL
        hwloc_free_xmlbuffer(topology_, buffer);
        return out;
    }

private:
    void restrict_to_affinity()
    {
        hwloc_bitmap_t cpus = hwloc_bitmap_alloc();
        if (hwloc_get_cpubind(topology_, cpus, HWLOC_CPUBIND_PROCESS) == 0)
            hwloc_topology_restrict(topology_, cpus, 0);
        hwloc_bitmap_free(cpus);
    }
    bool restrict_to(const Idset &cores)
    {
        auto type = hwloc_get_nbobjs_by_type(topology_, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
        hwloc_bitmap_t cpus = hwloc_bitmap_alloc();
        for (uint32_t core : cores)
            if (hwloc_obj_t object = hwloc_get_obj_by_type(topology_, type, core))
                hwloc_bitmap_or(cpus, cpus, object->cpuset);
        bool done = !hwloc_bitmap_iszero(cpus) &&
                    hwloc_topology_restrict(topology_, cpus, HWLOC_RESTRICT_FLAG_REMOVE_CPULESS) == 0;
        hwloc_bitmap_free(cpus);
        return done;
    }
    hwloc_topology_t topology_ = nullptr;
};

const char *substitute()
{
    return getenv("FLUX_HWLOC_XMLFILE");
}

// Whether there may be devices that jobs ask for by number.
bool may_have_gpus()
{
    std::error_code ignored;
    for (auto path : {"/dev/nvidiactl", "/dev/kfd", "/dev/dri/renderD128"})
        if (std::filesystem::exists(path, ignored))
            return true;
    return false;
}

// Cores with at least one processor that may be used, 0 when /sys does not tell.
uint32_t count_cores(bool restrict)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
        return 0; // more processors than the set holds
    std::set<std::string> cores;
    long processors = std::min(sysconf(_SC_NPROCESSORS_CONF), long(CPU_SETSIZE));
    for (int cpu = 0; cpu < processors; cpu++) {
        if (restrict && !CPU_ISSET(cpu, &allowed))
            continue;
        std::ifstream file(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
        std::string siblings;
        if (std::getline(file, siblings))
            cores.insert(siblings);
        else if (restrict)
            return 0;
    }
    return uint32_t(cores.size());
}

} // namespace

NodeInventory discover_node(bool restrict)
{
    if (!substitute() && !may_have_gpus())
        if (uint32_t cores = count_cores(restrict))
            return {cores, 0};
    return Topology(restrict, substitute()).inventory();
}

std::string topology_xml(bool restrict)
{
    return Topology(restrict, substitute()).xml();
}

std::string restricted_topology(const std::string &xml, const Idset &cores)
{
    return Topology(xml, cores).xml();
}

NodeInventory read_topology_xml(const std::string &path)
{
    if (access(path.c_str(), R_OK) != 0)
        throw Error(errno, "cannot read the topology {}: {}", path, errno_text(errno));
    return Topology(false, path.c_str()).inventory();
}

} // namespace flux
