// Taskmap: which node runs which task ranks (RFC 34), compact for block and cyclic distributions.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/json/json.hpp"
#include "common/types/idset.hpp"

namespace flux {

class Taskmap {
public:
    static constexpr uint64_t max_tasks = 1u << 24; // in one map; also the limit of its node ids
    static constexpr size_t max_blocks = 1u << 20;

    struct Block { // nodes nodeid..nodeid+nnodes-1 each take ppn consecutive tasks, the whole repeated
        uint32_t nodeid;
        uint32_t nnodes;
        uint32_t ppn;
        uint32_t repeat;
        friend bool operator==(const Block &, const Block &) = default;
    };

    Taskmap() = default; // unknown mapping
    // Any form: a JSON array of blocks, the {"version":1,"map":...} object, "(vector,...)" of PMI (RFC 13),
    // or the raw list of idsets "0-1;2-3". Node and task numbers are checked: each rank exactly once. EINVAL
    // says what is wrong.
    static Expected<Taskmap> parse(std::string_view text);
    static Expected<Taskmap> from_json(const Json &value);
    // tasks[node] is how many tasks node has.
    static Taskmap block(const std::vector<uint32_t> &tasks_per_node);
    // Round robin, stride tasks at a time, until every node has its number of tasks.
    static Taskmap cyclic(const std::vector<uint32_t> &tasks_per_node, uint32_t stride = 1);
    // One idset per node, as in the raw form.
    static Expected<Taskmap> from_idsets(const std::vector<Idset> &tasks_of_node);

    Json to_json() const;         // [[0,4,4,1]]
    Json to_wrapped_json() const; // {"version":1,"map":[...]}
    std::string encode() const { return to_json().dump(); }
    std::string encode_pmi() const;       // "(vector,(0,4,4))"; "" when unknown
    std::string encode_raw() const;       // "0-3;4-7"
    std::string encode_multiline() const; // "TASK: NODE\n" for each task

    bool unknown() const noexcept { return blocks_.empty(); }
    uint32_t nnodes() const noexcept { return nnodes_; } // the highest node id named, plus 1
    uint32_t ntasks() const noexcept { return ntasks_; }
    uint32_t ntasks(uint32_t nodeid) const noexcept;
    std::vector<Idset> idsets() const;               // of the nodes 0..nnodes()-1
    Idset tasks(uint32_t nodeid) const;              // empty for a node that is not in the map
    Expected<uint32_t> node_of(uint32_t task) const; // ENOENT
    // Same totals per job: same ntasks and the same nodes. EINVAL says how a map differs (for
    // taskmap=manual).
    Expected<void> check_against(const Taskmap &expected) const;
    const std::vector<Block> &blocks() const noexcept { return blocks_; }
    friend bool operator==(const Taskmap &a, const Taskmap &b) { return a.blocks_ == b.blocks_; }

    // Appends tasks in rank order, merging with the last block where the result means the same.
    Expected<void> append(uint32_t nodeid, uint32_t nnodes, uint32_t ppn, uint32_t repeat = 1);

private:
    std::vector<Block> blocks_;
    uint32_t nnodes_ = 0;
    uint32_t ntasks_ = 0;
};

} // namespace flux
