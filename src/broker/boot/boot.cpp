#include "broker/boot/boot.hpp"

#include <charconv>
#include <cstdlib>

#include "broker/tbon_setting.hpp"
#include "common/types/hostlist.hpp"

namespace flux {

namespace {

std::string choose_method(const BootInput &input)
{
    if (auto asked = input.attributes.get("broker.boot-method"))
        return *asked;
    if (input.config["bootstrap"])
        return "config";
    return std::getenv("PMI_FD") ? "simple" : "single";
}

int whole_number(const BootInput &input, std::string_view name, int fallback)
{
    auto text = tbon_setting(input.attributes, input.config, name);
    if (!text)
        return fallback;
    int value = 0;
    auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc() || end != text->data() + text->size() || value < 0)
        throw Error(EINVAL, "tbon.{} is \"{}\": a whole number from 0 up was expected", name, *text);
    return value;
}

} // namespace

Boot boot(const BootInput &input)
{
    auto method = choose_method(input);
    Boot result;
    if (method == "config")
        result = boot_config(input);
    else if (method == "simple")
        result = boot_pmi(input);
    else if (method == "single")
        result = boot_single(input);
    else
        throw Error(EINVAL, "broker.boot-method \"{}\" is not known: use config, simple or single", method);
    auto &attributes = input.attributes;
    attributes.set("broker.boot-method", method, Attributes::immutable);
    attributes.set("tbon.descendants",
                   std::to_string(result.topology.subtree(result.topology.rank()).count() - 1),
                   Attributes::immutable);
    if (!attributes.get("broker.critical-ranks"))
        attributes.set("broker.critical-ranks", result.topology.routers().format(), Attributes::immutable);
    return result;
}

Boot boot_single(const BootInput &input)
{
    Hostlist hosts;
    hosts.append_name(input.hostname);
    input.attributes.set("hostlist", hosts.encode(), Attributes::immutable);
    input.attributes.set("broker.mapping", "[[0,1,1,1]]", Attributes::immutable);
    input.attributes.get_or_set("tbon.topo", tbon_setting(input.attributes, input.config, "topo").value_or("kary:32"));
    return {};
}

ZmqLinks::Setup links_setup(const BootInput &input, CurveKeys keys)
{
    ZmqLinks::Setup setup;
    setup.uuid = input.uuid;
    setup.keys = std::move(keys);
    setup.io_threads = std::max(1, whole_number(input, "zmq_io_threads", setup.io_threads));
    setup.child_rcvhwm = whole_number(input, "child_rcvhwm", setup.child_rcvhwm);
    setup.tcp_user_timeout = tbon_duration(input.attributes, input.config, "tcp_user_timeout", setup.tcp_user_timeout);
    setup.connect_timeout = tbon_duration(input.attributes, input.config, "connect_timeout", setup.connect_timeout);
    Json ipv6 = input.config.at("bootstrap", "enable_ipv6");
    setup.ipv6 = ipv6 && ipv6.as<bool>();
    return setup;
}

} // namespace flux
