#include "cmd/simulate.hpp"
#include "cmd/svg_text.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "common/base/format.hpp"

namespace flux::cmd {

namespace {

constexpr double left = 70, right = 20, top = 40, panel_height = 180, gap = 50;
constexpr size_t columns = 800; // one mean value each

// The mean of a step function in each of the columns between the first and the last sample.
template <class Value>
std::vector<double> means(std::span<const graph::ReplaySample> samples, Value value)
{
    std::vector<double> out(columns, 0);
    double begin = double(samples.front().time);
    double width = std::max(1.0, double(samples.back().time) - begin) / columns;
    for (size_t i = 0; i + 1 < samples.size(); i++) {
        double from = (double(samples[i].time) - begin) / width;
        double to = (double(samples[i + 1].time) - begin) / width;
        for (size_t column = size_t(from); column < columns && double(column) < to; column++) {
            double covered = std::min(to, double(column + 1)) - std::max(from, double(column));
            out[column] += covered * value(samples[i]);
        }
    }
    return out;
}

// A scale whose quarters are round numbers.
double round_scale(double most)
{
    double power = std::pow(10.0, std::floor(std::log10(std::max(most, 4.0) / 4)));
    for (double step : {1.0, 2.0, 5.0})
        if (4 * step * power >= most)
            return 4 * step * power;
    return 40 * power;
}

void panel(std::string &out, double y, std::string_view name, std::string_view colour,
           const std::vector<double> &values, double most)
{
    auto to = std::back_inserter(out);
    most = std::max(most, 1e-9);
    fmt::format_to(to, "<text x='{}' y='{}' font-size='13'>{}</text>\n", left, y - 8, name);
    for (double part : {0.0, 0.25, 0.5, 0.75, 1.0}) {
        double at = y + panel_height * (1 - part);
        fmt::format_to(to, "<line x1='{}' x2='{}' y1='{:.1f}' y2='{:.1f}' stroke='#ddd'/>", left,
                       left + columns, at, at);
        fmt::format_to(to, "<text x='{}' y='{:.1f}' font-size='11' text-anchor='end'>{:.6g}</text>\n",
                       left - 6, at + 4, most * part);
    }
    fmt::format_to(to, "<path fill='{}' fill-opacity='0.25' stroke='{}' d='M{} {:.1f}", colour, colour, left,
                   y + panel_height);
    for (size_t column = 0; column < values.size(); column++)
        fmt::format_to(to, "L{} {:.1f}", left + double(column),
                       y + panel_height * (1 - std::min(values[column] / most, 1.0)));
    fmt::format_to(to, "L{} {:.1f}Z'/>\n", left + columns, y + panel_height);
}

} // namespace

std::string replay_plot(std::string_view title, const graph::ReplayResult &result, int64_t procs)
{
    double width = left + columns + right;
    double height = top + 2 * (panel_height + gap);
    std::string out = fmt::format("<svg xmlns='http://www.w3.org/2000/svg' width='{0}' height='{1}' "
                                  "viewBox='0 0 {0} {1}' font-family='sans-serif'>\n"
                                  "<rect width='100%' height='100%' fill='white'/>\n"
                                  "<text x='{2}' y='16' font-size='15'>{3}</text>\n",
                                  width, height, left, svg_text(title));
    if (result.samples.size() > 1) {
        auto used = means(result.samples,
                          [&](const auto &sample) { return 100.0 * double(sample.used) / double(procs); });
        auto queued = means(result.samples, [](const auto &sample) { return double(sample.queued); });
        panel(out, top, "utilisation, %", "#2a6f97", used, 100);
        panel(out, top + panel_height + gap, "jobs in the queue", "#bc4749", queued,
              round_scale(std::ranges::max(queued)));
        double days = double(result.samples.back().time - result.samples.front().time) / 86400;
        fmt::format_to(std::back_inserter(out),
                       "<text x='{}' y='{}' font-size='12' text-anchor='end'>{:.1f} days</text>\n",
                       left + columns, height - 24, days);
    }
    return out + "</svg>\n";
}

} // namespace flux::cmd
