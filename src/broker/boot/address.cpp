#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <sstream>

#include "broker/boot/boot.hpp"

namespace flux {

namespace {

constexpr const char *loopback = "127.0.0.1";

struct Interface {
    std::string name;
    in_addr address;
    bool is_loopback;
};

std::vector<Interface> interfaces()
{
    std::vector<Interface> out;
    ifaddrs *list = nullptr;
    if (getifaddrs(&list) != 0)
        return out;
    for (auto *at = list; at; at = at->ifa_next)
        if (at->ifa_addr && at->ifa_addr->sa_family == AF_INET && (at->ifa_flags & IFF_UP))
            out.push_back({at->ifa_name, reinterpret_cast<sockaddr_in *>(at->ifa_addr)->sin_addr,
                           bool(at->ifa_flags & IFF_LOOPBACK)});
    freeifaddrs(list);
    return out;
}

std::string text_of(in_addr address)
{
    char text[INET_ADDRSTRLEN] = "";
    inet_ntop(AF_INET, &address, text, sizeof text);
    return text;
}

// The interface of the route to 0.0.0.0 (proc(5): /proc/net/route), empty when there is none.
std::string default_route_interface()
{
    std::ifstream routes("/proc/net/route");
    std::string line;
    std::getline(routes, line); // the heading
    while (std::getline(routes, line)) {
        std::istringstream fields(line);
        std::string interface, destination;
        fields >> interface >> destination;
        if (destination == "00000000")
            return interface;
    }
    return "";
}

std::optional<std::string> address_of_hostname()
{
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    addrinfo hints {}, *found = nullptr;
    hints.ai_family = AF_INET;
    if (getaddrinfo(name, nullptr, &hints, &found) != 0)
        return std::nullopt;
    auto text = text_of(reinterpret_cast<sockaddr_in *>(found->ai_addr)->sin_addr);
    freeaddrinfo(found);
    return text;
}

std::optional<std::string> address_in_network(const std::string &cidr)
{
    auto slash = cidr.find('/');
    in_addr network;
    unsigned bits = 0;
    auto digits = cidr.substr(slash + 1);
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    if (inet_pton(AF_INET, cidr.substr(0, slash).c_str(), &network) != 1 || error != std::errc() ||
        end != digits.data() + digits.size() || bits > 32)
        throw Error(EINVAL, "tbon.interface-hint \"{}\" is not a network: 10.0.2.0/24 would be one", cidr);
    uint32_t mask = bits ? htonl(~uint32_t(0) << (32 - bits)) : 0;
    for (auto &interface : interfaces())
        if ((interface.address.s_addr & mask) == (network.s_addr & mask))
            return text_of(interface.address);
    throw Error(ENOENT, "tbon.interface-hint {}: this node has no address in that network", cidr);
}

} // namespace

std::string choose_address(const std::string &hint)
{
    if (hint == "hostname")
        return address_of_hostname().value_or(loopback);
    if (hint.contains('/'))
        return *address_in_network(hint);
    auto name = hint == "default-route" ? default_route_interface() : hint;
    for (auto &interface : interfaces())
        if (interface.name == name)
            return text_of(interface.address);
    if (hint != "default-route")
        throw Error(ENOENT, "tbon.interface-hint {}: this node has no such network interface that is up", hint);
    return address_of_hostname().value_or(loopback);
}

} // namespace flux
