#include "common/types/range.hpp"

#include <charconv>

#include "common/base/quote.hpp"

namespace flux {

namespace {

Expected<uint64_t> take_number(std::string_view &text, std::string_view whole)
{
    uint64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    size_t length = end - text.data();
    if (error == std::errc::invalid_argument)
        return fail(EINVAL, "count \"{}\": expected a number{}{}", whole,
                    text.empty() ? " at the end" : " at ", text);
    if (error == std::errc::result_out_of_range || number > Count::max_value)
        return fail(EINVAL, "count \"{}\": the number is over the limit of {}", whole, Count::max_value);
    if (text[0] == '0' && length > 1)
        return fail(EINVAL, "count \"{}\": a number must not begin with a zero", whole);
    text.remove_prefix(length);
    return number;
}

// a op b, saturating.
uint64_t apply(char op, uint64_t value, uint64_t operand)
{
    uint64_t out = 1;
    switch (op) {
    case '+':
        return __builtin_add_overflow(value, operand, &out) ? Count::infinite : out;
    case '*':
        return __builtin_mul_overflow(value, operand, &out) ? Count::infinite : out;
    default:
        for (uint64_t i = 0; i < operand; i++)
            if (__builtin_mul_overflow(out, value, &out))
                return Count::infinite;
        return out;
    }
}

} // namespace

Expected<Count> Count::checked(uint64_t min, uint64_t max, uint64_t operand, char op)
{
    if (min < 1)
        return fail(EINVAL, "count: the minimum must be a positive integer, not {}", min);
    if (max < min)
        return fail(EINVAL, "count: the maximum {} is less than the minimum {}", max, min);
    if (op != '+' && op != '*' && op != '^')
        return fail(EINVAL, "count: unknown operator '{}' (use +, * or ^)", op);
    if (operand < 1 || (op != '+' && operand < 2))
        return fail(EINVAL, "count: operator {} needs an operand of at least {}, not {}", op,
                    op == '+' ? 1 : 2, operand);
    if (op == '^' && min < 2)
        return fail(EINVAL, "count: operator ^ needs a minimum of at least 2, not {}", min);
    Count out;
    out.min_ = min;
    out.max_ = max;
    out.operand_ = operand;
    out.op_ = op;
    return out;
}

Count Count::range(uint64_t min, uint64_t max, uint64_t operand, char op)
{
    return value_or_throw(checked(min, max, operand, op));
}

Count Count::set(Idset counts)
{
    if (counts.empty() || counts.contains(0))
        throw Error(EINVAL, "count: a set of counts holds positive integers, not \"{}\"", counts.format());
    Count out;
    out.min_ = *counts.first();
    out.max_ = *counts.last();
    if (counts.runs().size() > 1) // one run is a plain range
        out.ids_ = std::move(counts);
    return out;
}

Expected<Count> Count::parse(std::string_view text)
{
    std::string_view whole = quoted(text, 60);
    if (text.starts_with('[')) {
        if (!text.ends_with(']') || text.size() < 2)
            return fail(EINVAL, "count \"{}\": the closing bracket is missing", whole);
        text = text.substr(1, text.size() - 2);
    }
    if (text.find(',') != std::string_view::npos) {
        auto ids = Idset::parse(text);
        if (!ids)
            return fail(EINVAL, "count: {}", ids.error().text());
        if (ids->contains(0))
            return fail(EINVAL, "count \"{}\": counts must be positive", whole);
        return set(std::move(*ids));
    }
    auto min = take_number(text, whole);
    if (!min)
        return std::unexpected(min.error());
    uint64_t max = *min, operand = 1;
    char op = '+';
    bool ranged = false;
    if (text.starts_with('+')) {
        text.remove_prefix(1);
        max = infinite;
        ranged = true;
    } else if (text.starts_with('-')) {
        text.remove_prefix(1);
        auto given = take_number(text, whole);
        if (!given)
            return std::unexpected(given.error());
        max = *given;
        ranged = true;
    }
    if (ranged && text.starts_with(':')) {
        text.remove_prefix(1);
        auto given = take_number(text, whole);
        if (!given)
            return std::unexpected(given.error());
        operand = *given;
        if (text.size() == 2 && text[0] == ':') {
            op = text[1];
            text = {};
        }
    }
    if (!text.empty())
        return fail(EINVAL, "count \"{}\": expected N, MIN-MAX or MIN+, with :OPERAND[:OPERATOR] after it",
                    whole);
    return checked(*min, max, operand, op);
}

Expected<Count> Count::from_json(const Json &value)
{
    if (value.is_integer()) {
        auto number = json_integer_value(value.raw());
        if (number < 1 || uint64_t(number) > max_value)
            return fail(EINVAL, "expected a positive integer, found {}", number);
        return Count(uint64_t(number));
    }
    if (value.is_string())
        return parse(value.string_view());
    if (!value.is_object())
        return fail(EINVAL, "expected a positive integer, a range string or a dictionary, found {}",
                    value.type_name());
    for (auto [key, unused] : value.members())
        if (key != "min" && key != "max" && key != "operator" && key != "operand")
            return fail(EINVAL, "unknown key \"{}\" (a range has min, max, operator, operand)",
                        quoted(key, 40));
    if (value.contains("operator") != value.contains("operand"))
        return fail(EINVAL, "operator and operand must be given together");
    try {
        auto min = value.get<int64_t>("min");
        auto max = value.value<int64_t>("max", -1);
        auto operand = value.value<int64_t>("operand", 1);
        auto op = value.value<std::string>("operator", "+");
        if (min < 1 || operand < 1 || (value.contains("max") && max < 1))
            return fail(EINVAL, "min, max and operand must be positive integers");
        if (uint64_t(min) > max_value || uint64_t(operand) > max_value ||
            (max > 0 && uint64_t(max) > max_value))
            return fail(EINVAL, "a number is over the limit of {}", max_value);
        if (op.size() != 1)
            return fail(EINVAL, "unknown operator \"{}\" (use +, * or ^)", quoted(op, 20));
        return checked(min, max < 0 ? infinite : uint64_t(max), operand, op[0]);
    } catch (const Error &error) {
        return fail(EINVAL, "{}", error.text());
    }
}

std::string Count::format() const
{
    if (ids_)
        return ids_->format();
    std::string out = fmt::format("{}", min_);
    if (fixed() && operand_ == 1 && op_ == '+')
        return out;
    out += bounded() ? fmt::format("-{}", max_) : "+";
    if (operand_ != 1 || op_ != '+')
        out += fmt::format(":{}", operand_);
    if (op_ != '+')
        out += fmt::format(":{}", op_);
    return out;
}

Json Count::to_json() const
{
    if (ids_)
        return Json(ids_->format());
    if (fixed())
        return Json(min_);
    Json out {{"min", min_}};
    if (bounded())
        out.set("max", max_);
    if (operand_ != 1 || op_ != '+') {
        out.set("operator", std::string(1, op_));
        out.set("operand", operand_);
    }
    return out;
}

bool Count::contains(uint64_t n) const noexcept
{
    auto at = floor(n);
    return at && *at == n;
}

std::optional<uint64_t> Count::next(uint64_t n) const noexcept
{
    if (n < min_)
        return min_;
    if (n >= max_)
        return std::nullopt;
    if (ids_) {
        auto id = ids_->next(uint32_t(n)); // n < max_ <= max_id
        return id ? std::optional<uint64_t>(*id) : std::nullopt;
    }
    uint64_t value = min_;
    if (op_ == '+')
        value = apply('+', min_ + (n - min_) / operand_ * operand_, operand_);
    else
        while (value <= n) // at most 64 steps: the value at least doubles
            value = apply(op_, value, operand_);
    if (value == infinite || value > max_)
        return std::nullopt;
    return value;
}

std::optional<uint64_t> Count::floor(uint64_t n) const noexcept
{
    if (n < min_)
        return std::nullopt;
    n = std::min(n, max_);
    if (ids_) {
        size_t at = ids_->index_of(uint32_t(n) + 1); // n <= max_ <= max_id
        return ids_->nth(at - 1);
    }
    if (op_ == '+')
        return min_ + (n - min_) / operand_ * operand_;
    uint64_t value = min_;
    for (uint64_t after = apply(op_, value, operand_); after <= n && after != infinite;
         after = apply(op_, value, operand_))
        value = after;
    return value;
}

} // namespace flux
