// News: what a part of the tree has to tell of one job since it last told. On its way up the tree the news of
// children, and of one turn of the loop, are merged, so that a broker sends one message a turn, however many
// jobs and shells are below it.
//
// Part: one job in the part of the tree that begins at this rank. It decides what is told when: output, events
// and exceptions at once; "started" and the ends of shells when that is so of every rank of the part; what the
// tasks put by PMI when every shell of the part has. No messages and no clock in here.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/topology.hpp"
#include "common/json/json.hpp"
#include "common/types/idset.hpp"
#include "common/types/job_id.hpp"

namespace flux::job_exec {

// A target rank whose shell was lost: why, in words that follow "lost contact with rank 3: " or are a whole
// sentence about the shell.
struct Loss {
    Idset ranks;
    std::string note;
};

struct Exchange {
    Idset ranks; // whose shells' pairs are in it
    Json pairs = Json::object();
};

struct News {
    Idset started;
    Idset ended;    // their shells are gone, whatever the reason; a lost rank is in here too
    int status = 0; // the worst wait status of those
    std::vector<Loss> losses;
    std::vector<Json> said; // by shells, in order: events, output, exceptions, logs; standard input, by its leader
    std::map<uint32_t, uint64_t> said_bytes; // how much of that is from the shell of which rank
    std::optional<uint64_t> input_taken;     // messages of standard input that every shell's tasks have taken
    std::map<uint64_t, Exchange> exchanges; // PMI, by sequence number

    bool empty() const;
    void merge(News &&other);
    Json to_json(JobId id) const;
    static Expected<News> from_json(const Json &json); // EPROTO
};

class Part {
public:
    // `here` are the job's ranks at and below topology.rank().
    Part(const Topology &topology, Idset here);

    const Idset &ranks() const { return ranks_; }
    bool is_here() const { return own_rank_.has_value(); } // this rank has a shell of the job
    // The children that have ranks of the job at or below them, and which.
    const std::map<uint32_t, Idset> &children() const { return children_; }
    Idset running() const { return ranks_ - ended_; }
    bool all_started() const { return told_started_; }
    bool all_ended() const { return ended_ == ranks_; }
    bool has_ended(const Idset &ranks) const { return ended_.contains(ranks); }

    // `source`: the child that told it, or this rank.
    void add(News news, std::optional<uint32_t> source = {});
    // The link to this child is gone, for that reason: every rank behind it that has not ended is lost.
    void lose_child(uint32_t child, std::string_view reason);
    // What is ripe for telling.
    News take();

private:
    Idset ranks_;
    std::map<uint32_t, Idset> children_;
    Idset started_, ended_;
    int status_ = 0;
    bool told_started_ = false;
    bool told_ended_ = false;
    std::optional<uint32_t> own_rank_; // when is_here()
    std::map<uint32_t, uint64_t> input_taken_; // by source
    uint64_t told_input_ = 0;
    uint64_t least_input_taken() const;
    News waiting_; // what is told at once, and exchanges
};

} // namespace flux::job_exec
