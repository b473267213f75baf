#include "broker/curve.hpp"

#include <czmq.h>

#include <sys/stat.h>
#include <unistd.h>

#include <memory>

namespace flux {

namespace {

constexpr size_t z85_key_size = 40;

struct DestroyCert {
    void operator()(zcert_t *cert) const { zcert_destroy(&cert); }
};
using Certificate = std::unique_ptr<zcert_t, DestroyCert>;

CurveKeys keys_of(zcert_t *cert)
{
    return {zcert_public_txt(cert), zcert_secret_txt(cert)};
}

} // namespace

CurveKeys make_curve_keys()
{
    char public_key[z85_key_size + 1], secret_key[z85_key_size + 1];
    if (zmq_curve_keypair(public_key, secret_key) != 0)
        throw Error(errno, "a CURVE key pair cannot be made: {}", zmq_strerror(errno));
    return {public_key, secret_key};
}

CurveKeys load_curve_certificate(const std::string &path)
{
    struct stat info;
    if (stat(path.c_str(), &info) != 0)
        throw Error(errno, "the CURVE certificate {} cannot be read: {}: flux keygen makes one", path,
                    errno_text(errno));
    if (info.st_mode & (S_IRWXG | S_IRWXO))
        throw Error(EPERM, "the CURVE certificate {} is open to others (mode {:o}): chmod 600 {}", path,
                    info.st_mode & 07777, path);
    Certificate cert(zcert_load(path.c_str()));
    if (!cert)
        throw Error(EINVAL, "{} is not a CURVE certificate: flux keygen makes one", path);
    auto keys = keys_of(cert.get());
    if (keys.public_key.size() != z85_key_size || keys.secret_key.size() != z85_key_size)
        throw Error(EINVAL, "the CURVE certificate {} has no key pair: flux keygen makes one", path);
    return keys;
}

void save_curve_certificate(const std::string &path, const CurveKeys &keys,
                            const std::map<std::string, std::string> &metadata)
{
    if (access(path.c_str(), F_OK) == 0)
        throw Error(EEXIST, "{} exists already: remove it first, or choose another path", path);
    uint8_t public_key[curve_key_bytes + 1], secret_key[curve_key_bytes + 1];
    FLUX_ASSERT(zmq_z85_decode(public_key, keys.public_key.c_str()) &&
                zmq_z85_decode(secret_key, keys.secret_key.c_str()));
    Certificate cert(zcert_new_from(public_key, secret_key));
    FLUX_ASSERT(cert);
    for (auto &[key, value] : metadata)
        zcert_set_meta(cert.get(), key.c_str(), "%s", value.c_str());
    mode_t before = umask(077);
    int result = zcert_save_secret(cert.get(), path.c_str());
    int errnum = errno;
    umask(before);
    if (result != 0)
        throw Error(errnum, "the certificate {} cannot be written: {}", path, errno_text(errnum));
}

} // namespace flux
