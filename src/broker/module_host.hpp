// ModuleHost: loads modules, gives each its context and its mailbox, and takes them down again.
//
// Every module shares the broker's loop: a message from one to the next is a queued pointer and no thread
// switch.
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
    Task<> load(std::string path, std::string name, std::vector<std::string> arguments);
    // Awaits its stop(), then takes it down. ENOENT.
    Task<> remove(std::string name);
    Task<> remove_all(); // in reverse order of loading
    bool is_loaded(std::string_view name) const { return modules_.contains(name); }
    Json list() const; // as module.list answers (transcript)

private:
    struct Loaded;
    const ModuleInfo &resolve(const std::string &path, std::string &file);

    Broker &broker_;
    std::map<std::string, std::unique_ptr<Loaded>, std::less<>> modules_;
    std::vector<std::string> order_;
};

} // namespace flux
