// The constraint query syntax (RFC 35): a hand-written parser, "or" binding loosest, then "and" (or just a
// blank), then "not".
#include "common/types/constraint.hpp"

#include "common/base/quote.hpp"

namespace flux {

namespace {

constexpr size_t max_query = 64 * 1024; // bytes

class QueryParser {
public:
    QueryParser(std::string_view text, const ConstraintQuery &syntax) : text_(text), syntax_(syntax) {}

    Json parse()
    {
        skip_blanks();
        if (at_end())
            return Json();
        Json out = parse_or(0);
        if (!at_end())
            error("unexpected \"{}\"", text_.substr(at_, 1));
        return out;
    }

private:
    template <class... Args>
    [[noreturn]] void error(fmt::format_string<Args...> format, Args &&...args)
    {
        throw Error(EINVAL, "constraint \"{}\": column {}: {}", quoted(text_, 80), at_ + 1,
                    fmt::format(format, std::forward<Args>(args)...));
    }

    bool at_end() const { return at_ >= text_.size(); }
    static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
    static bool ends_word(char c) { return is_blank(c) || std::string_view("()&|\"'").contains(c); }

    void skip_blanks()
    {
        while (!at_end() && is_blank(text_[at_]))
            at_++;
    }

    // The unquoted word here, without taking it.
    std::string_view peek_word() const
    {
        size_t end = at_;
        while (end < text_.size() && !ends_word(text_[end]))
            end++;
        return text_.substr(at_, end - at_);
    }

    bool take_operator(char symbol, std::string_view word)
    {
        if (at_end())
            return false;
        if (text_[at_] == symbol) {
            at_ += text_.substr(at_, 2) == std::string(2, symbol) ? 2 : 1;
        } else if (peek_word() == word && !starts_quote(at_ + word.size())) {
            at_ += word.size();
        } else {
            return false;
        }
        skip_blanks();
        return true;
    }

    bool starts_quote(size_t at) const
    {
        return at < text_.size() && (text_[at] == '"' || text_[at] == '\'');
    }

    static Json join(const char *op, std::vector<Json> &&parts)
    {
        if (parts.size() == 1)
            return std::move(parts.front());
        return Json {{op, Json::array_of(parts)}};
    }

    Json parse_or(size_t depth)
    {
        std::vector<Json> parts;
        do
            parts.push_back(parse_and(depth));
        while (take_operator('|', "or"));
        return join("or", std::move(parts));
    }

    Json parse_and(size_t depth)
    {
        std::vector<Json> parts;
        while (true) {
            parts.push_back(parse_unary(depth));
            if (take_operator('&', "and"))
                continue;
            if (at_end() || text_[at_] == ')' || text_[at_] == '|' || peek_word() == "or")
                return join("and", std::move(parts));
        }
    }

    Json parse_unary(size_t depth)
    {
        if (depth > max_constraint_depth)
            error("nested deeper than {}", max_constraint_depth);
        if (at_end())
            error("expected a term at the end");
        if (peek_word() == "not" && !starts_quote(at_ + 3)) {
            at_ += 3;
            skip_blanks();
            return negated(parse_unary(depth + 1));
        }
        if (text_[at_] == '(') {
            at_++;
            skip_blanks();
            Json inner = parse_or(depth + 1);
            if (at_end() || text_[at_] != ')')
                error("expected )");
            at_++;
            skip_blanks();
            return inner;
        }
        if (text_[at_] == '-') {
            at_++;
            if (!at_end() && text_[at_] == '(')
                error("- stands before a term only; write not (...)");
            return negated(parse_term());
        }
        return parse_term();
    }

    static Json negated(Json inner)
    {
        Json list = Json::array();
        list.append(std::move(inner));
        return Json {{"not", list}};
    }

    // A quoted string or a run of unquoted characters up to stop or a reserved one.
    std::string take_string(bool stop_at_colon)
    {
        std::string out;
        while (!at_end()) {
            char c = text_[at_];
            if (c == '"' || c == '\'') {
                size_t close = text_.find(c, at_ + 1);
                if (close == std::string_view::npos)
                    error("the closing {} is missing", c);
                out += text_.substr(at_ + 1, close - at_ - 1);
                at_ = close + 1;
            } else if (ends_word(c) || (stop_at_colon && c == ':')) {
                break;
            } else {
                out += c;
                at_++;
            }
        }
        return out;
    }

    Json parse_term()
    {
        size_t start = at_;
        std::string_view word = peek_word();
        if (word == "and" || word == "or" || word == "not")
            error("expected a term, found \"{}\"", word);
        std::string op = take_string(true), operand;
        if (!at_end() && text_[at_] == ':') {
            at_++;
            operand = take_string(false);
            if (op.empty())
                error("expected an operator before the colon");
        } else {
            operand = std::exchange(op, syntax_.default_operator);
            if (at_ == start)
                error("expected a term{}",
                      at_end() ? std::string(" at the end") : fmt::format(", found \"{}\"", text_[at_]));
            if (op.empty())
                error("expected operator:operand, found \"{}\"", operand);
        }
        skip_blanks();
        if (operand.empty())
            error("operator {} has no operand", op);
        if (++terms_ > max_constraint_nodes)
            error("more than {} terms", max_constraint_nodes);
        if (auto alias = syntax_.aliases.find(op); alias != syntax_.aliases.end())
            op = alias->second;
        if (syntax_.values) {
            Json values = value_or_throw(syntax_.values(op, operand));
            return Json {{op, values}};
        }
        return Json {{op, Json::array_of(std::vector {operand})}};
    }

    std::string_view text_;
    const ConstraintQuery &syntax_;
    size_t at_ = 0;
    size_t terms_ = 0;
};

} // namespace

Expected<Json> parse_constraint_query(std::string_view text, const ConstraintQuery &syntax)
{
    if (text.size() > max_query)
        return fail(EINVAL, "constraint of more than {} bytes", max_query);
    try {
        return QueryParser(text, syntax).parse();
    } catch (const Error &error) {
        return std::unexpected(error);
    }
}

Expected<Json> parse_resource_query(std::string_view text)
{
    ConstraintQuery syntax {
        .default_operator = "properties",
        .aliases = {{"host", "hostlist"},
                    {"hosts", "hostlist"},
                    {"rank", "ranks"},
                    {"property", "properties"}},
        .values = [](std::string_view op, std::string_view operand) -> Expected<Json> {
            Json values = Json::array();
            if (op != "properties") {
                values.append(operand);
                return values;
            }
            while (true) {
                size_t comma = operand.find(',');
                values.append(operand.substr(0, comma));
                if (comma == std::string_view::npos)
                    return values;
                operand.remove_prefix(comma + 1);
            }
        },
    };
    auto json = parse_constraint_query(text, syntax);
    if (json && *json)
        if (auto valid = validate_resource_constraint(*json); !valid)
            return std::unexpected(valid.error());
    return json;
}

} // namespace flux
