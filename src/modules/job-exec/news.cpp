#include "modules/job-exec/news.hpp"

#include <algorithm>
#include <iterator>

namespace flux::job_exec {

namespace {

Idset idset_at(const Json &json, std::string_view key)
{
    auto text = json.find<std::string>(key);
    return text ? value_or_throw(Idset::parse(*text)) : Idset();
}

News read(const Json &json)
{
    News news;
    news.started = idset_at(json, "started");
    news.ended = idset_at(json, "ended");
    news.status = json.value<int>("status", 0);
    for (auto loss : json["losses"].elements())
        news.losses.push_back({idset_at(loss, "ranks"), loss.get<std::string>("note")});
    for (auto message : json["said"].elements()) {
        if (!message.is_object())
            throw Error(EPROTO, "said: expected objects, found {}", message.type_name());
        news.said.push_back(message);
    }
    for (auto [rank, bytes] : json["said_bytes"].members())
        news.said_bytes[value_or_throw(Idset::parse(rank)).first().value_or(0)] += bytes.as<uint64_t>();
    news.input_taken = json.find<uint64_t>("input_taken");
    for (auto exchange : json["exchanges"].elements()) {
        auto &entry = news.exchanges[exchange.get<uint64_t>("seq")];
        entry.ranks |= idset_at(exchange, "ranks");
        for (auto [key, value] : exchange["pairs"].members())
            entry.pairs.set(key, value);
    }
    return news;
}

} // namespace

bool News::empty() const
{
    return started.empty() && ended.empty() && losses.empty() && said.empty() && exchanges.empty() &&
           !input_taken;
}

void News::merge(News &&other)
{
    started |= other.started;
    ended |= other.ended;
    status = std::max(status, other.status);
    std::ranges::move(other.losses, std::back_inserter(losses));
    if (said.empty())
        said = std::move(other.said);
    else
        std::ranges::move(other.said, std::back_inserter(said));
    for (auto [rank, bytes] : other.said_bytes)
        said_bytes[rank] += bytes;
    for (auto &[seq, exchange] : other.exchanges) {
        auto &mine = exchanges[seq];
        if (mine.ranks.empty())
            mine.pairs = exchange.pairs.shallow_copy();
        else
            for (auto [key, value] : exchange.pairs.members())
                mine.pairs.set(key, value);
        mine.ranks |= exchange.ranks;
    }
}

Json News::to_json(JobId id) const
{
    Json out {{"id", id.value()}};
    if (!started.empty())
        out.set("started", started.format());
    if (!ended.empty())
        out.set("ended", ended.format()).set("status", status);
    if (!losses.empty()) {
        Json list = Json::array();
        for (const auto &loss : losses)
            list.append(Json {{"ranks", loss.ranks.format()}, {"note", loss.note}});
        out.set("losses", list);
    }
    if (!said.empty())
        out.set("said", Json::array_of(said));
    if (!said_bytes.empty()) {
        Json bytes_of = Json::object();
        for (auto [rank, bytes] : said_bytes)
            bytes_of.set(fmt::format("{}", rank), bytes);
        out.set("said_bytes", bytes_of);
    }
    if (input_taken)
        out.set("input_taken", *input_taken);
    if (!exchanges.empty()) {
        Json list = Json::array();
        for (const auto &[seq, exchange] : exchanges)
            list.append(Json {{"seq", seq}, {"ranks", exchange.ranks.format()}, {"pairs", exchange.pairs}});
        out.set("exchanges", list);
    }
    return out;
}

Expected<News> News::from_json(const Json &json)
{
    try {
        return read(json);
    } catch (const Error &error) {
        return fail(EPROTO, "news of a job: {}", error.text());
    }
}

Part::Part(const Topology &topology, Idset here) : ranks_(std::move(here))
{
    Idset nowhere;
    for (uint32_t rank : ranks_) {
        if (rank == topology.rank())
            own_rank_ = rank;
        else if (auto child = rank < topology.size() ? topology.child_toward(rank) : std::nullopt)
            children_[*child].add(rank);
        else
            nowhere.add(rank);
    }
    if (nowhere.empty())
        return;
    News news; // resources that no broker has: nobody would ever tell of them
    news.ended = nowhere;
    news.losses.push_back({nowhere, fmt::format("there is no broker of rank {} in this instance, which has {}",
                                                nowhere.format(), topology.size())});
    add(std::move(news));
}

void Part::add(News news, std::optional<uint32_t> source)
{
    if (auto taken = std::exchange(news.input_taken, std::nullopt); taken && source)
        input_taken_[*source] = std::max(input_taken_[*source], *taken);
    started_ |= news.started & ranks_;
    news.started.clear();
    ended_ |= news.ended & ranks_;
    news.ended.clear();
    status_ = std::max(status_, std::exchange(news.status, 0));
    waiting_.merge(std::move(news));
}

void Part::lose_child(uint32_t child, std::string_view reason)
{
    auto found = children_.find(child);
    Idset lost = found == children_.end() ? Idset() : found->second - ended_;
    if (lost.empty())
        return;
    News news;
    news.ended = lost;
    std::string who = lost.count() == 1 ? "rank " + lost.format() : "ranks " + lost.format();
    if (!(lost == Idset {child}))
        who += fmt::format(" behind rank {}", child);
    news.losses.push_back({lost, fmt::format("lost contact with {}: {}", who, reason)});
    add(std::move(news));
}

// Of those that still read any.
uint64_t Part::least_input_taken() const
{
    std::optional<uint64_t> least;
    auto consider = [&](uint32_t source) {
        auto found = input_taken_.find(source);
        uint64_t taken = found == input_taken_.end() ? 0 : found->second;
        least = least ? std::min(*least, taken) : taken;
    };
    if (own_rank_ && !ended_.contains(*own_rank_))
        consider(*own_rank_);
    for (const auto &[child, below] : children_)
        if (!has_ended(below))
            consider(child);
    return least.value_or(0);
}

News Part::take()
{
    News out = std::move(waiting_);
    waiting_ = News();
    if (!told_started_ && (started_ | ended_) == ranks_) {
        told_started_ = true;
        out.started = started_;
    }
    if (!told_ended_ && ended_ == ranks_) {
        told_ended_ = true;
        out.ended = ended_;
        out.status = status_;
    }
    if (auto taken = input_taken_.empty() ? 0 : least_input_taken(); taken > told_input_)
        out.input_taken = told_input_ = taken;
    for (auto at = out.exchanges.begin(); at != out.exchanges.end();) {
        if ((at->second.ranks | ended_) == ranks_) { // who has ended puts nothing more
            at->second.ranks = ranks_;
            ++at;
            continue;
        }
        waiting_.exchanges.insert(out.exchanges.extract(at++));
    }
    return out;
}

} // namespace flux::job_exec
