// "job-manager.history.get" {"slice"}: the sender's jobs, the newest first, as much of the list as a slice "[START:STOP]"
// of Python names.
#include <algorithm>
#include <charconv>

#include "modules/job-manager/job_manager.hpp"

namespace flux {

namespace {

struct Slice {
    size_t begin, end;
};

// Negative positions count from the end; what is left out is the list's end on that side. "[N]" is one element.
Slice parse_slice(std::string_view text, size_t size)
{
    auto fail = [&] { return Error(EINVAL, "slice \"{}\": expected [START:STOP] with numbers", text); };
    if (!text.starts_with('[') || !text.ends_with(']') || text.size() < 3)
        throw fail();
    auto inner = text.substr(1, text.size() - 2);
    auto position = [&](std::string_view digits, int64_t fallback) -> int64_t {
        if (digits.empty())
            return fallback;
        int64_t value = 0;
        auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (error != std::errc() || end != digits.data() + digits.size())
            throw fail();
        return value < 0 ? value + int64_t(size) : value;
    };
    auto colon = inner.find(':');
    int64_t begin = position(inner.substr(0, colon), 0);
    int64_t end = colon == inner.npos ? begin + 1 : position(inner.substr(colon + 1), int64_t(size));
    auto clamp = [&](int64_t value) { return size_t(std::clamp<int64_t>(value, 0, int64_t(size))); };
    return {clamp(begin), std::max(clamp(begin), clamp(end))};
}

} // namespace

Json JobManager::history_get(Request &request)
{
    auto userid = request.find<uint32_t>("userid").value_or(request.credentials().userid);
    if (userid != request.credentials().userid && !request.credentials().is_owner())
        throw Error(EPERM, "guests may only list their own jobs");
    std::vector<JobId> ids;
    for (const auto &[id, job] : active_)
        if (job->userid == userid)
            ids.push_back(id);
    for (const auto &[id, job] : inactive_)
        if (job.userid == userid)
            ids.push_back(id);
    auto slice = parse_slice(request.get<std::string>("slice"), ids.size());
    // Job ids grow with time (RFC 19).
    std::partial_sort(ids.begin(), ids.begin() + long(slice.end), ids.end(), std::greater<>());
    Json jobs = Json::array();
    for (size_t at = slice.begin; at < slice.end; at++)
        jobs.append(ids[at].value());
    return Json {{"jobs", jobs}};
}

// What flux queue status -v shows.
Json JobManager::alloc_query(Request &)
{
    return Json {{"queue_length", alloc_waiting_.size()}, {"alloc_pending", alloc_inflight_}, {"running", running_}};
}

} // namespace flux
