#include <yaml.h>

#include <charconv>
#include <map>

#include "common/graph/formats/formats.hpp"

namespace flux::graph {

namespace {

constexpr size_t max_yaml_depth = 200;
constexpr size_t max_yaml_nodes = 1'000'000; // after aliases are followed

Json plain_scalar(std::string_view text)
{
    if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
        return Json(nullptr);
    if (text == "true" || text == "True" || text == "TRUE")
        return Json(true);
    if (text == "false" || text == "False" || text == "FALSE")
        return Json(false);
    int64_t integer = 0;
    std::string_view digits = text.front() == '+' ? text.substr(1) : text;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), integer);
    if (error == std::errc() && end == digits.data() + digits.size())
        return Json(integer);
    bool numeric = text.find_first_not_of("0123456789+-.eE") == text.npos;
    double real = 0;
    auto [last, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), real);
    if (numeric && bad == std::errc() && last == digits.data() + digits.size())
        return Json(real);
    return Json(text);
}

class YamlReader {
public:
    explicit YamlReader(std::string_view text)
    {
        FLUX_ASSERT(yaml_parser_initialize(&parser_));
        yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char *>(text.data()),
                                     text.size());
    }
    ~YamlReader()
    {
        yaml_event_delete(&event_);
        yaml_parser_delete(&parser_);
    }
    YamlReader(const YamlReader &) = delete;

    Json document()
    {
        next();
        next();
        if (event_.type == YAML_STREAM_END_EVENT)
            return Json(nullptr);
        next();
        Json out = value(0);
        next();
        next();
        if (event_.type != YAML_STREAM_END_EVENT)
            bad("more than one document");
        return out;
    }

private:
    [[noreturn]] void bad(std::string_view why)
    {
        throw Error(EINVAL, "line {}, column {}: {}", event_.start_mark.line + 1,
                    event_.start_mark.column + 1, why);
    }

    void next()
    {
        yaml_event_delete(&event_);
        event_ = {};
        if (yaml_parser_parse(&parser_, &event_))
            return;
        throw Error(EINVAL, "line {}, column {}: {}{}{}", parser_.problem_mark.line + 1,
                    parser_.problem_mark.column + 1, parser_.context ? parser_.context : "",
                    parser_.context ? ": " : "", parser_.problem ? parser_.problem : "not YAML");
    }

    void remember(const yaml_char_t *anchor, const Json &json)
    {
        if (anchor)
            anchors_[reinterpret_cast<const char *>(anchor)] = json;
    }

    // The event that begins the value is the present one; the one that ends it is when this returns.
    Json value(size_t depth)
    {
        if (depth > max_yaml_depth)
            bad("nested too deeply");
        if (++nodes_ > max_yaml_nodes)
            bad("too many values");
        switch (event_.type) {
        case YAML_SCALAR_EVENT: {
            std::string_view text(reinterpret_cast<const char *>(event_.data.scalar.value),
                                  event_.data.scalar.length);
            Json out = event_.data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? plain_scalar(text) : Json(text);
            if (!out)
                bad("text that is not UTF-8");
            remember(event_.data.scalar.anchor, out);
            return out;
        }
        case YAML_SEQUENCE_START_EVENT: {
            std::string anchor = name_of(event_.data.sequence_start.anchor);
            Json out = Json::array();
            for (next(); event_.type != YAML_SEQUENCE_END_EVENT; next())
                out.append(value(depth + 1));
            if (!anchor.empty())
                anchors_[anchor] = out;
            return out;
        }
        case YAML_MAPPING_START_EVENT: {
            std::string anchor = name_of(event_.data.mapping_start.anchor);
            Json out = Json::object();
            for (next(); event_.type != YAML_MAPPING_END_EVENT; next()) {
                if (event_.type != YAML_SCALAR_EVENT)
                    bad("a key that is not a scalar");
                std::string key(reinterpret_cast<const char *>(event_.data.scalar.value),
                                event_.data.scalar.length);
                if (out.contains(key))
                    bad(fmt::format("the key \"{}\" is used twice", key.substr(0, 40)));
                next();
                Json member = value(depth + 1);
                out.set(key, std::move(member));
            }
            if (!anchor.empty())
                anchors_[anchor] = out;
            return out;
        }
        case YAML_ALIAS_EVENT: {
            auto found = anchors_.find(name_of(event_.data.alias.anchor));
            if (found == anchors_.end())
                bad("an alias of an anchor that is not there");
            return found->second;
        }
        default:
            bad("a value was expected");
        }
    }

    static std::string name_of(const yaml_char_t *anchor)
    {
        return anchor ? reinterpret_cast<const char *>(anchor) : "";
    }

    yaml_parser_t parser_ {};
    yaml_event_t event_ {};
    std::map<std::string, Json> anchors_;
    size_t nodes_ = 0;
};

} // namespace

Expected<Json> parse_yaml(std::string_view text)
try {
    return YamlReader(text).document();
} catch (const Error &error) {
    return fail(EINVAL, "YAML: {}", error.text());
}

} // namespace flux::graph
