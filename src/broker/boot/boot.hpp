// Boot: how a broker learns its rank, the tree, its peers' addresses and their keys. One file per method; each fills in
// the attributes that it decides.
#pragma once
#include <memory>
#include <string>

#include "broker/attributes.hpp"
#include "broker/topology.hpp"
#include "broker/zmq_links.hpp"

namespace flux {

struct BootInput {
    Loop &loop;
    Attributes &attributes;    // read and written
    const Json &config;        // the instance's configuration
    std::string rundir;        // for ipc:// sockets
    std::string hostname;      // this node
    std::string uuid;          // this broker's identity on its links
};

struct Boot {
    Topology topology {0, 1, 1};
    std::unique_ptr<Links> links; // null in an instance of one broker
};

// By attribute broker.boot-method ("config", "simple", "single"); unset: config when the configuration has [bootstrap],
// simple when PMI_FD is set, else single. Sets that attribute to the method used.
Boot boot(const BootInput &input);

Boot boot_config(const BootInput &input); // [bootstrap], flux-config-bootstrap(5)
Boot boot_pmi(const BootInput &input);    // PMI-1 (RFC 13)
Boot boot_single(const BootInput &input);

// What an instance that is a job of another one has from it, as attributes: parent-uri, jobid, instance-level,
// jobid-path, and on rank 0 resource.R. Nothing when this is no job.
void adopt_parent(Attributes &attributes, uint32_t size);

// tcp addresses for brokers that boot by PMI: the address of this node that attribute or key tbon.interface-hint (default:
// default-route) chooses; "127.0.0.1" on a node without a network.
std::string choose_address(const std::string &hint);

ZmqLinks::Setup links_setup(const BootInput &input, CurveKeys keys);

} // namespace flux
