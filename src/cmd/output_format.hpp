// OutputFormat: what --format takes, "{id.f58:>12} ?:{queue:<8.8} {runtime!F:>8h}". The syntax is that of
// Python's format strings, with the additions that flux-jobs(1) describes (?: +: conversions, h, +, sort:).
//
// A command says which fields it has and what a row's value of a field is; rows, headers, widths and the
// order are settled here.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace flux::cmd {

// The value of one field of one row. Empty ones (monostate, "") sort before all others.
class FieldValue {
public:
    FieldValue() = default;
    FieldValue(bool value) : value_(value) {}
    FieldValue(int64_t value) : value_(value) {}
    FieldValue(double value) : value_(value) {}
    FieldValue(std::string value) : value_(std::move(value)) {}
    FieldValue(std::string_view value) : value_(std::string(value)) {}
    FieldValue(const char *value) : value_(std::string(value)) {}

    bool is_empty() const;
    bool is_number() const;   // booleans too
    double number() const;    // 0 when it is none
    std::string text() const; // as Python's str() has it; empty for none
    friend bool operator<(const FieldValue &a, const FieldValue &b);
    const auto &variant() const { return value_; }

private:
    std::variant<std::monostate, bool, int64_t, double, std::string> value_;
};

// The fields that a command has.
struct FormatFields {
    std::string_view thing;                                             // for messages: "jobs"
    std::vector<std::pair<std::string_view, std::string_view>> headers; // field name -> column header
    std::vector<std::string_view> open {}; // "annotations.": any name that begins with it is a field too
    // Fields whose text does not sort as they should, and what is compared instead: {"id", "id.dec"} holds
    // for id.f58 too.
    std::vector<std::pair<std::string_view, std::string_view>> ordered_as {};
    std::string_view order_of(std::string_view field) const;
    const std::string_view *header_of(std::string_view field) const;
    bool knows(std::string_view field) const;
};

struct NamedFormat {
    std::string name, description, format;
};

class OutputFormat {
public:
    using GetField = std::function<FieldValue(size_t row, std::string_view field)>;
    struct View {
        bool header = true;
        size_t width = 0; // of a line; 0: as wide as it gets
        // Text around a whole row (an escape sequence), or empty.
        std::function<std::string(size_t row)> style {};
    };

    // EINVAL names an unknown field (and the nearest) or an unbalanced brace.
    static OutputFormat parse(std::string_view text, const FormatFields &fields);
    // --sort: comma-separated fields, "-" in front for the reverse order. Replaces "sort:" of the format.
    void sort_by(std::string_view keys);
    std::vector<std::string> fields() const; // that are shown or sorted by, each once

    std::string render(size_t rows, const GetField &get, const View &view) const;
    std::string header() const; // of all columns, as if every field had a value

private:
    struct Piece {
        std::string literal; // when there is no field
        std::string field;
        char conversion = 0;
        std::string time_format; // of !d
        bool drop_if_empty = false;
        bool grow = false;
        std::string fill = " ";
        char align = 0; // 0: left, numbers right
        size_t width = 0;
        size_t precision = 0; // 0: none
        bool has_precision = false;
        char type = 0;
        bool hyphen = false;   // h
        bool mark_cut = false; // +
        std::string header;
    };
    static Piece parse_field(std::string_view inside, const FormatFields &fields);
    static void parse_spec(std::string_view spec, Piece &piece);
    static std::string value_text(const Piece &piece, const FieldValue &value);
    static std::string render_piece(const Piece &piece, const FieldValue &value);
    static std::string render_header(const Piece &piece);
    std::vector<Piece> fitted(size_t rows, const GetField &get) const;
    std::vector<size_t> order(size_t rows, const GetField &get) const;

    const FormatFields *known_ = nullptr;
    std::vector<Piece> pieces_;
    std::vector<std::pair<std::string, bool>> sort_; // field, reverse
};

} // namespace flux::cmd
