// CURVE keys of the overlay: made in memory and exchanged at boot, or read from a certificate that all brokers of a
// system instance share (flux-keygen(1)).
#pragma once
#include <map>
#include <string>

#include "common/base/error.hpp"

namespace flux {

constexpr size_t curve_key_bytes = 32; // not encoded

struct CurveKeys { // Z85, 40 characters each
    std::string public_key;
    std::string secret_key;
};

// A new pair.
CurveKeys make_curve_keys();
// From a certificate file (ZPL, as czmq writes it). EPERM when others than its owner can read it, ENOENT, EINVAL.
CurveKeys load_curve_certificate(const std::string &path);
// Writes a new certificate, readable by its owner only. EEXIST, or why the file cannot be written.
void save_curve_certificate(const std::string &path, const CurveKeys &keys,
                            const std::map<std::string, std::string> &metadata);

} // namespace flux
