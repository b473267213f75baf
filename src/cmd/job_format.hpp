// Columns of job listings: "{id.f58:>12} {username:<8.8}", with a header row.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/json/json.hpp"

namespace flux::cmd {

class JobFormat {
public:
    // EINVAL names an unknown field or an unbalanced brace. "?:" in front of a field drops its column where
    // all are empty; it and ":" after it are understood as in the reference's formats.
    static JobFormat parse(std::string_view text);
    static std::string_view default_text();

    std::string header() const;
    std::string row(const Json &job, double now) const;
    // The attributes to ask job-list for.
    std::vector<std::string> attributes() const;
    // Without the "?:" columns that are empty in all of these jobs, and with "+:" ones as wide as they need.
    JobFormat fitted(const std::vector<Json> &jobs, double now) const;

private:
    struct Piece {
        std::string literal; // when there is no field
        std::string field;
        bool drop_if_empty = false;
        bool grow = false;
        char align = '<';
        size_t width = 0;
        size_t precision = 0; // 0: no limit
    };
    std::string render(const Piece &piece, std::string value) const;
    std::vector<Piece> pieces_;
};

// One field of a job as job-list describes it.
std::string job_field(const Json &job, std::string_view field, double now);

} // namespace flux::cmd
