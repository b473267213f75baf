// ModuleHost: loads modules, gives each its context and its mailbox, and takes them down again.
//
// Where a module runs is configuration (placement.hpp): on the broker's loop, unless it is listed with
// "thread" in etc/flux/modules or named by [modules] threads = "all" | ["NAME", ...].
#pragma once
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/router.hpp"
#include "common/module/module.hpp"

namespace flux {

class Broker;

class ModuleHost {
public:
    explicit ModuleHost(Broker &broker);
    ~ModuleHost();

    // `path`: a module's name (looked up among the linked ones, then as NAME.so in `search_path`) or a file
    // with a slash. Loads and awaits its start(). EEXIST, ENOENT (naming where was looked), ELIBBAD, or what
    // start() throws.
    Task<> load(std::string path, std::string name, std::vector<std::string> arguments,
                bool own_thread = false);
    // Awaits its stop(), then takes it down. ENOENT; EBUSY while it starts or stops.
    Task<> remove(std::string name);
    // In reverse order of loading. What somebody else is loading or removing is waited for; EBUSY when that
    // lasts.
    Task<> remove_all();
    Task<> remove_after(std::string name); // the same down to this one, which stays
    bool is_loaded(std::string_view name) const { return modules_.contains(name); }
    Json list() const; // as module.list answers (transcript)

private:
    struct Loaded;
    bool wants_thread(std::string_view name) const;
    void erase(const std::string &name);
    Task<> tell_config(std::string name);
    const ModuleInfo &resolve(const std::string &path, std::string &file);

    Broker &broker_;
    std::map<std::string, std::unique_ptr<Loaded>, std::less<>> modules_;
    std::vector<std::string> order_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); // gone before the rest: tasks may end later
};

} // namespace flux
