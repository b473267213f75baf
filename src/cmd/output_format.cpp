#include "cmd/output_format.hpp"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <numeric>

#include "cmd/command.hpp"
#include "cmd/print.hpp"
#include "cmd/terminal.hpp"
#include "common/base/text.hpp"
#include "common/types/duration.hpp"

namespace flux::cmd {

namespace {

constexpr size_t max_width = 10000; // of a column: a slip of the finger is not to fill the memory

std::string python_float(double value)
{
    std::string text = fmt::format("{}", value);
    return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

std::string local(double seconds, const char *format)
{
    time_t whole = time_t(seconds);
    tm parts {};
    ::localtime_r(&whole, &parts);
    char text[256];
    return std::string(text, ::strftime(text, sizeof(text), format, &parts));
}

// "0.453s", "12.35s", "1.025m", "2h": milliseconds while they matter, so that columns of short jobs stay
// comparable.
std::string short_duration(double seconds)
{
    constexpr double millisecond = 0.001, still_short = 10;
    if (seconds >= millisecond / 2 && seconds < still_short)
        return fmt::format("{:.3f}s", seconds);
    return seconds < millisecond ? "0s" : format_duration(seconds, 4);
}

std::string hours_minutes(double seconds)
{
    int64_t whole = std::llround(seconds);
    int64_t days = whole / 86400;
    std::string out = days ? fmt::format("{} day{}, ", days, days == 1 ? "" : "s") : "";
    return out + fmt::format("{}:{:02}:{:02}", whole / 3600 % 24, whole / 60 % 60, whole % 60);
}

std::string percentage(double value) // five characters at most
{
    double percent = value * 100;
    if (percent >= 10 || percent == 0)
        return fmt::format("{:.0f}%", percent);
    return percent >= 1 ? fmt::format("{:.2g}%", percent) : fmt::format("{:.2f}%", percent);
}

bool is_nothing(const std::string &text)
{
    return text.empty() || text == "0s" || text == "0" || text == "0.0" || text == "0:00:00" ||
           text.starts_with("1970-01-01T0");
}

// The first `columns` code points.
std::string first_columns(const std::string &text, size_t columns)
{
    size_t bytes = 0;
    for (size_t seen = 0; bytes < text.size(); bytes++)
        if ((text[bytes] & 0xc0) != 0x80 && seen++ == columns)
            break;
    return text.substr(0, bytes);
}

std::string padded(const std::string &text, size_t width, char align, const std::string &fill)
{
    size_t have = display_width(text);
    if (have >= width)
        return text;
    size_t left = align == '>' ? width - have : align == '^' ? (width - have) / 2 : 0;
    std::string out;
    for (size_t i = 0; i < left; i++)
        out += fill;
    out += text;
    for (size_t i = left + have; i < width; i++)
        out += fill;
    return out;
}

size_t digits(std::string_view &spec)
{
    size_t value = 0;
    while (!spec.empty() && spec[0] >= '0' && spec[0] <= '9' && value < max_width) {
        value = value * 10 + size_t(spec[0] - '0');
        spec.remove_prefix(1);
    }
    return value;
}

size_t code_point_size(std::string_view text)
{
    size_t size = 1;
    while (size < text.size() && (text[size] & 0xc0) == 0x80)
        size++;
    return size;
}

bool is_align(char c)
{
    return c == '<' || c == '>' || c == '^' || c == '=';
}

} // namespace

bool FieldValue::is_empty() const
{
    auto *text = std::get_if<std::string>(&value_);
    return std::holds_alternative<std::monostate>(value_) || (text && text->empty());
}

bool FieldValue::is_number() const
{
    return !std::holds_alternative<std::monostate>(value_) && !std::holds_alternative<std::string>(value_);
}

double FieldValue::number() const
{
    if (auto *real = std::get_if<double>(&value_))
        return *real;
    if (auto *integer = std::get_if<int64_t>(&value_))
        return double(*integer);
    auto *truth = std::get_if<bool>(&value_);
    return truth && *truth ? 1 : 0;
}

std::string FieldValue::text() const
{
    if (auto *text = std::get_if<std::string>(&value_))
        return *text;
    if (auto *real = std::get_if<double>(&value_))
        return python_float(*real);
    if (auto *integer = std::get_if<int64_t>(&value_))
        return fmt::format("{}", *integer);
    if (auto *truth = std::get_if<bool>(&value_))
        return *truth ? "True" : "False";
    return {};
}

bool operator<(const FieldValue &a, const FieldValue &b)
{
    auto kind = [](const FieldValue &value) {
        return value.is_empty() ? 0 : value.is_number() ? 1 : 2;
    };
    if (kind(a) != kind(b))
        return kind(a) < kind(b);
    return kind(a) == 1 ? a.number() < b.number() : a.text() < b.text();
}

std::string_view FormatFields::order_of(std::string_view field) const
{
    for (const auto &[prefix, other] : ordered_as)
        if (field == prefix || (field.starts_with(prefix) && field[prefix.size()] == '.'))
            return other;
    return field;
}

const std::string_view *FormatFields::header_of(std::string_view field) const
{
    for (const auto &[name, header] : headers)
        if (name == field)
            return &header;
    return nullptr;
}

bool FormatFields::knows(std::string_view field) const
{
    return header_of(field) ||
           std::any_of(open.begin(), open.end(), [&](auto prefix) { return field.starts_with(prefix); });
}

void OutputFormat::parse_spec(std::string_view spec, Piece &piece)
{
    if (spec.ends_with('+')) {
        piece.mark_cut = true;
        spec.remove_suffix(1);
    }
    if (spec.ends_with('h')) {
        piece.hyphen = true;
        spec.remove_suffix(1);
    }
    if (!spec.empty()) {
        size_t first = code_point_size(spec);
        if (first < spec.size() && is_align(spec[first])) {
            piece.fill = spec.substr(0, first);
            spec.remove_prefix(first);
        }
        if (is_align(spec[0])) {
            piece.align = spec[0];
            spec.remove_prefix(1);
        }
    }
    if (spec.starts_with('0') && !piece.align) {
        piece.fill = "0";
        piece.align = '>';
    }
    piece.width = digits(spec);
    if (spec.starts_with('.')) {
        spec.remove_prefix(1);
        piece.has_precision = true;
        piece.precision = digits(spec);
    }
    if (!spec.empty()) {
        piece.type = spec[0];
        spec.remove_prefix(1);
    }
    if (!spec.empty() ||
        (piece.type && std::string_view("sdfFgGeExX%").find(piece.type) == std::string_view::npos))
        throw UsageError(fmt::format("the format of field {{{}}} ends in '{}{}', which is not understood",
                                     piece.field, piece.type ? std::string(1, piece.type) : "", spec));
}

OutputFormat::Piece OutputFormat::parse_field(std::string_view inside, const FormatFields &known)
{
    Piece piece;
    size_t end = inside.find_first_of("!:");
    piece.field = inside.substr(0, end);
    if (!known.knows(piece.field)) {
        std::vector<std::string> names;
        for (const auto &[name, header] : known.headers)
            names.emplace_back(name);
        throw UsageError(
            fmt::format("{} have no field {}{}", known.thing, piece.field, did_you_mean(piece.field, names)));
    }
    if (const auto *header = known.header_of(piece.field)) {
        piece.header = *header;
    } else {
        piece.header = piece.field;
        std::transform(piece.header.begin(), piece.header.end(), piece.header.begin(),
                       [](char c) { return char(std::toupper(uint8_t(c))); });
    }
    inside.remove_prefix(std::min(inside.size(), end));
    if (inside.starts_with('!')) {
        piece.conversion = inside.size() > 1 ? inside[1] : 0;
        if (std::string_view("DdFHPs").find(piece.conversion) == std::string_view::npos || !piece.conversion)
            throw UsageError(fmt::format("{{{}!{}}}: there are only the conversions !D !d !F !H !P",
                                         piece.field,
                                         piece.conversion ? std::string(1, piece.conversion) : ""));
        inside.remove_prefix(2);
    }
    if (!inside.starts_with(':'))
        return piece;
    std::string_view spec = inside.substr(1);
    if (piece.conversion == 'd') {
        size_t colons = spec.find("::");
        piece.time_format = spec.substr(0, colons);
        if (piece.time_format.ends_with('h') && !piece.time_format.ends_with("%h")) {
            piece.hyphen = true;
            piece.time_format.pop_back();
        }
        spec = colons == std::string_view::npos ? std::string_view() : spec.substr(colons + 2);
    }
    parse_spec(spec, piece);
    return piece;
}

OutputFormat OutputFormat::parse(std::string_view text, const FormatFields &known)
{
    OutputFormat out;
    out.known_ = &known;
    if (text.starts_with("sort:")) {
        size_t blank = std::min(text.find(' '), text.size());
        out.sort_by(text.substr(5, blank - 5));
        text.remove_prefix(std::min(text.size(), blank + 1));
    }
    std::string literal;
    bool drop = false;
    bool grow = false;
    auto flush = [&] {
        if (!literal.empty())
            out.pieces_.push_back(Piece {.literal = std::exchange(literal, {})});
    };
    for (size_t i = 0; i < text.size();) {
        std::string_view rest = text.substr(i);
        if (rest.starts_with("{{") || rest.starts_with("}}")) {
            literal += text[i];
            i += 2;
        } else if (rest.starts_with("?:{") || rest.starts_with("+:{")) {
            (text[i] == '?' ? drop : grow) = true;
            i += 2;
        } else if (rest.starts_with("?+:{")) {
            drop = grow = true;
            i += 3;
        } else if (text[i] == '{') {
            size_t end = text.find('}', i);
            if (end == std::string_view::npos)
                throw UsageError(fmt::format("a brace is not closed in the format '{}'", text));
            flush();
            Piece piece = parse_field(text.substr(i + 1, end - i - 1), known);
            piece.drop_if_empty = std::exchange(drop, false);
            piece.grow = std::exchange(grow, false);
            out.pieces_.push_back(std::move(piece));
            i = end + 1;
        } else if (text[i] == '}') {
            throw UsageError(fmt::format("a brace is not opened in the format '{}'", text));
        } else {
            literal += text[i++];
        }
    }
    flush();
    return out;
}

void OutputFormat::sort_by(std::string_view keys)
{
    sort_.clear();
    for (std::string_view key : split(keys, ',')) {
        bool reverse = key.starts_with('-');
        key.remove_prefix(reverse);
        if (!known_->knows(key)) {
            std::vector<std::string> names;
            for (const auto &[name, header] : known_->headers)
                names.emplace_back(name);
            throw UsageError(fmt::format("cannot sort by {}: {} have no such field{}", key, known_->thing,
                                         did_you_mean(key, names)));
        }
        sort_.emplace_back(key, reverse);
    }
}

std::vector<std::string> OutputFormat::fields() const
{
    std::vector<std::string> out;
    auto add = [&](const std::string &field) {
        if (!field.empty() && std::find(out.begin(), out.end(), field) == out.end())
            out.push_back(field);
    };
    for (const auto &piece : pieces_)
        add(piece.field);
    for (const auto &[field, reverse] : sort_)
        add(field);
    return out;
}

std::string OutputFormat::value_text(const Piece &piece, const FieldValue &value)
{
    double number = value.number();
    switch (piece.conversion) {
    case 'D':
        return number > 0 ? local(number, "%FT%T") : "";
    case 'd':
        return number > 0 ? local(number, piece.time_format.empty() ? "%FT%T" : piece.time_format.c_str())
                          : "";
    case 'F':
        return value.is_number() && number >= 0 ? short_duration(number) : value.text();
    case 'H':
        return value.is_number() && number >= 0 ? hours_minutes(number) : value.text();
    case 'P':
        return value.is_number() ? percentage(number) : value.text();
    default:
        break;
    }
    if (!value.is_number() || !piece.type || piece.type == 's')
        return value.text();
    int precision = piece.has_precision ? int(piece.precision) : 6;
    switch (piece.type) {
    case 'd':
        return fmt::format("{}", int64_t(number));
    case 'x':
        return fmt::format("{:x}", int64_t(number));
    case 'X':
        return fmt::format("{:X}", int64_t(number));
    case 'e':
    case 'E':
        return fmt::format("{:.{}e}", number, precision);
    case 'g':
    case 'G':
        return fmt::format("{:.{}g}", number, precision);
    case '%':
        return fmt::format("{:.{}f}%", number * 100, precision);
    default:
        return fmt::format("{:.{}f}", number, precision);
    }
}

std::string OutputFormat::render_piece(const Piece &piece, const FieldValue &value)
{
    std::string text = value_text(piece, value);
    if (piece.hyphen && is_nothing(text))
        text = "-";
    bool cuts =
        piece.has_precision && (!piece.type || piece.type == 's') && (!value.is_number() || piece.conversion);
    if (cuts && display_width(text) > piece.precision) {
        bool marks = piece.mark_cut && piece.precision > 0;
        text = first_columns(text, piece.precision - marks) + (marks ? "+" : "");
    }
    char align = piece.align ? piece.align : value.is_number() && !piece.conversion ? '>' : '<';
    return padded(text, piece.width, align, piece.fill);
}

std::string OutputFormat::render_header(const Piece &piece)
{
    return padded(piece.header, piece.width, piece.align ? piece.align : '<', " ");
}

std::vector<OutputFormat::Piece> OutputFormat::fitted(size_t rows, const GetField &get) const
{
    std::vector<Piece> out;
    for (size_t i = 0; i < pieces_.size(); i++) {
        Piece piece = pieces_[i];
        size_t widest = 0;
        bool all_empty = true;
        for (size_t row = 0; row < rows && (piece.drop_if_empty || piece.grow); row++) {
            FieldValue value = get(row, piece.field);
            std::string text = value_text(piece, value);
            all_empty &= is_nothing(text);
            widest = std::max(widest, display_width(text));
        }
        if (piece.drop_if_empty && all_empty) {
            if (i + 1 < pieces_.size() && pieces_[i + 1].field.empty())
                i++; // the blank after it goes too
            continue;
        }
        if (piece.grow) {
            piece.width = std::max(piece.width, std::max(widest, display_width(piece.header)));
            piece.has_precision = false;
        }
        out.push_back(std::move(piece));
    }
    return out;
}

std::vector<size_t> OutputFormat::order(size_t rows, const GetField &get) const
{
    std::vector<size_t> out(rows);
    std::iota(out.begin(), out.end(), 0);
    for (auto key = sort_.rbegin(); key != sort_.rend(); ++key) { // stable: the first key last
        std::vector<FieldValue> values;
        for (size_t row = 0; row < rows; row++)
            values.push_back(get(row, known_->order_of(key->first)));
        std::stable_sort(out.begin(), out.end(), [&](size_t a, size_t b) {
            return key->second ? values[b] < values[a] : values[a] < values[b];
        });
    }
    return out;
}

std::string OutputFormat::header() const
{
    std::string line;
    for (const auto &piece : pieces_)
        line += piece.field.empty() ? piece.literal : render_header(piece);
    return line.erase(line.find_last_not_of(' ') + 1);
}

std::string OutputFormat::render(size_t rows, const GetField &get, const View &view) const
{
    OutputFormat fit = *this;
    fit.pieces_ = fitted(rows, get);
    std::string out;
    auto add = [&](std::string line, const std::string &style) {
        if (view.width)
            line = first_columns(line, view.width);
        line.erase(line.find_last_not_of(' ') + 1);
        out += style.empty() ? line : style + line + std::string(color::plain);
        out += '\n';
    };
    if (view.header)
        add(fit.header(), {});
    for (size_t row : order(rows, get)) {
        std::string line;
        for (const auto &piece : fit.pieces_)
            line += piece.field.empty() ? piece.literal : render_piece(piece, get(row, piece.field));
        add(std::move(line), view.style ? view.style(row) : std::string());
    }
    return out;
}

} // namespace flux::cmd
