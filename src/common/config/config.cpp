#include "common/config/config.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

#define TOML_EXCEPTIONS 0
#define TOML_ASSERT(expression) static_assert(true) // in debug builds, too: some mistakes in a file reach one
#include <toml++/toml.h>

namespace flux {

namespace {

Json to_json(const toml::node &node)
{
    if (auto *table = node.as_table()) {
        Json out = Json::object();
        for (auto &&[key, value] : *table)
            out.set(key.str(), to_json(value));
        return out;
    }
    if (auto *array = node.as_array()) {
        Json out = Json::array();
        for (auto &value : *array)
            out.append(to_json(value));
        return out;
    }
    if (auto value = node.value_exact<bool>())
        return *value;
    if (auto value = node.value_exact<int64_t>())
        return *value;
    if (auto value = node.value_exact<double>())
        return *value;
    if (auto value = node.value_exact<std::string>())
        return *value;
    std::ostringstream text; // dates and times, in their TOML form
    node.visit([&](auto &value) {
        if constexpr (toml::is_date<decltype(value)> || toml::is_time<decltype(value)> ||
                      toml::is_date_time<decltype(value)>)
            text << value.get();
    });
    return text.str();
}

void merge(Json &into, const Json &from)
{
    for (auto [key, value] : from.members()) {
        Json existing = into[key];
        if (existing.is_object() && value.is_object())
            merge(existing, value);
        else
            into.set(key, value);
    }
}

Json load_file(const std::filesystem::path &path)
{
    if (path.extension() == ".json") {
        std::ifstream in(path);
        std::string text((std::istreambuf_iterator<char>(in)), {});
        if (!in && text.empty())
            throw Error(ENOENT, "the configuration file {} cannot be read", path.string());
        auto json = Json::parse(text);
        if (!json || !json->is_object())
            throw Error(EINVAL, "{}: {}", path.string(),
                        json ? "a JSON object was expected" : json.error().text());
        return *json;
    }
    auto parsed = toml::parse_file(path.string());
    if (!parsed) {
        auto &error = parsed.error();
        throw Error(EINVAL, "{}:{}:{}: {}", path.string(), error.source().begin.line,
                    error.source().begin.column, error.description());
    }
    return to_json(parsed.table());
}

} // namespace

Json parse_config(const std::string &text, const std::string &name)
{
    size_t begin = text.find_first_not_of(" \t\r\n");
    if (begin != text.npos && text[begin] == '{') {
        auto json = Json::parse(text);
        if (!json || !json->is_object())
            throw Error(EINVAL, "{}: {}", name, json ? "a JSON object was expected" : json.error().text());
        return *json;
    }
    auto parsed = toml::parse(text);
    if (!parsed)
        throw Error(EINVAL, "{}:{}:{}: {}", name, parsed.error().source().begin.line,
                    parsed.error().source().begin.column, parsed.error().description());
    return to_json(parsed.table());
}

Json load_config(const std::string &path)
{
    namespace fs = std::filesystem;
    std::error_code ignored;
    if (!fs::exists(path, ignored))
        throw Error(ENOENT,
                    "the configuration {} does not exist: give a directory of *.toml files or one file",
                    path);
    std::vector<fs::path> files;
    if (fs::is_directory(path, ignored)) {
        for (auto &entry : fs::directory_iterator(path))
            if (entry.path().extension() == ".toml")
                files.push_back(entry.path());
        std::sort(files.begin(), files.end());
    } else {
        files.push_back(path);
    }
    Json config = Json::object();
    for (auto &file : files)
        merge(config, load_file(file));
    return config;
}

void merge_config(Json &config, const std::string &text)
{
    namespace fs = std::filesystem;
    if (text.ends_with(".toml") || text.ends_with(".json"))
        return merge(config, load_file(text));
    if (text.starts_with('{')) {
        auto json = Json::parse(text);
        if (!json || !json->is_object())
            throw Error(EINVAL, "--conf={}: {}", text, json ? "a JSON object was expected" : json.error().text());
        return merge(config, *json);
    }
    if (text.contains('\n')) {
        auto parsed = toml::parse(text);
        if (!parsed)
            throw Error(EINVAL, "--conf:{}: {}", parsed.error().source().begin.line, parsed.error().description());
        return merge(config, to_json(parsed.table()));
    }
    auto equals = text.find('=');
    if (equals == text.npos || equals == 0)
        throw Error(EINVAL, "--conf={}: expected TABLE.KEY=VALUE, TOML, JSON, or the path of a file", text);
    auto value = text.substr(equals + 1);
    auto parsed = Json::parse("[" + value + "]"); // any JSON value
    config.set_path(text.substr(0, equals), parsed && parsed->size() == 1 ? (*parsed)[size_t(0)] : Json(value));
}

} // namespace flux
