// An instance that is a job of another one asks its parent, once, what it is there.
#include <cstdlib>

#include "broker/boot/boot.hpp"
#include "common/client/session.hpp"
#include "common/job/resource_set.hpp"
#include "common/types/job_id.hpp"
#include "common/types/taskmap.hpp"

namespace flux {

namespace {

constexpr int lookup_current = 2; // job-info.lookup: with resource-update events applied

// Several brokers on one node share its cores and gpus evenly, in rank order.
ResourceSet divide(const ResourceSet &nodes, const Taskmap &mapping)
{
    ResourceSet out;
    auto all = nodes.nodes();
    for (uint32_t node = 0; node < mapping.nnodes(); node++) {
        auto brokers = mapping.tasks(node);
        auto part = [&](const Idset &ids, size_t index) {
            size_t begin = ids.count() * index / brokers.count(), end = ids.count() * (index + 1) / brokers.count();
            return ids.take(end) - ids.take(begin);
        };
        size_t index = 0;
        for (uint32_t rank : brokers) {
            out.merge_node(rank, all[node].hostname(), part(all[node].cores(), index), part(all[node].gpus(), index));
            index++;
        }
    }
    out.set_expiration(nodes.expiration());
    out.set_starttime(nodes.starttime());
    return out;
}

} // namespace

void adopt_parent(Attributes &attributes, uint32_t size)
{
    const char *uri = std::getenv("FLUX_URI"), *job = std::getenv("FLUX_JOB_ID");
    if (!uri || !job) {
        if (!attributes.get("instance-level"))
            attributes.set("instance-level", "0", Attributes::immutable);
        attributes.set("jobid-path", "/", Attributes::immutable);
        return;
    }
    auto id = JobId::parse(job);
    if (!id)
        throw Error(EINVAL, "FLUX_JOB_ID is \"{}\": {}", job, id.error().text());
    Session parent {std::string(uri)};
    auto level = std::stoul(parent.attribute("instance-level"));
    attributes.set("parent-uri", uri, Attributes::immutable);
    attributes.set("jobid", id->f58(), Attributes::immutable);
    attributes.set("instance-level", std::to_string(level + 1), Attributes::immutable);
    auto path = parent.find_attribute("jobid-path").value_or("/");
    attributes.set("jobid-path", (path == "/" ? "" : path) + "/" + id->f58(), Attributes::immutable);
    if (const char *space = std::getenv("FLUX_KVS_NAMESPACE"))
        attributes.set("parent-kvs-namespace", space, Attributes::immutable);
    if (attributes.get("resource.R"))
        return;
    Json answer = parent.rpc("job-info.lookup", Json {{"id", id->value()},
                                                      {"keys", Json::array().append("R")},
                                                      {"flags", lookup_current}});
    auto R = value_or_throw(ResourceSet::parse(std::string_view(answer.get<std::string>("R"))));
    auto mapping = Taskmap::parse(attributes.get("broker.mapping").value_or(""));
    if (R.nnodes() == size)
        R.remap();
    else if (mapping && mapping->nnodes() == R.nnodes() && mapping->ntasks() == size)
        R = divide(R, *mapping);
    else
        return; // not one broker per node of the job: each finds out what it has
    R.drop_instance_local_properties();
    attributes.set("resource.R", R.encode(), Attributes::immutable);
}

} // namespace flux
