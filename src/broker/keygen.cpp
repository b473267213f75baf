// flux-keygen: a CURVE certificate for the brokers of a system instance (flux-keygen(1)). A program of its
// own, so that `flux` need not link ZeroMQ.
#include <unistd.h>

#include <ctime>

#include "broker/curve.hpp"
#include "cmd/command.hpp"
#include "common/base/text.hpp"

namespace flux {

namespace {

std::string timestamp()
{
    char text[64];
    time_t now = time(nullptr);
    tm local;
    localtime_r(&now, &local);
    strftime(text, sizeof text, "%FT%T", &local);
    return text;
}

int run_keygen(const cmd::Args &args, Session &)
{
    char hostname[256] = "localhost";
    gethostname(hostname, sizeof hostname - 1);
    std::map<std::string, std::string> metadata {{"name", args.value("name", hostname)},
                                                 {"keygen.hostname", hostname},
                                                 {"keygen.time", timestamp()},
                                                 {"keygen.userid", std::to_string(getuid())}};
    for (auto &list : args.all("meta"))
        for (std::string_view pair : split(list, ',')) {
            auto equals = pair.find('=');
            if (equals == 0 || equals == pair.npos)
                throw Error(EINVAL, "--meta={}: expected KEY=VALUE", pair);
            metadata[std::string(pair.substr(0, equals))] = pair.substr(equals + 1);
        }
    save_curve_certificate(args[0], make_curve_keys(), metadata);
    return 0;
}

const cmd::Command keygen {
    .name = "keygen",
    .args = "PATH",
    .summary = "Make a CURVE certificate for the brokers of a system instance",
    .options = {{"-n,--name=NAME", "the certificate's name (default: this host's)"},
                {"--meta=KEY=VAL", "more metadata; several are separated by commas"}},
    .min_args = 1,
    .max_args = 1,
    .run = run_keygen,
};

} // namespace

} // namespace flux

int main(int argc, char **argv)
{
    return flux::cmd::run_program(flux::keygen, "keygen", {argv + 1, argv + argc});
}
