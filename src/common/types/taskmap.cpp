#include "common/types/taskmap.hpp"

#include <algorithm>

namespace flux {

namespace {

void must(Expected<void> done)
{
    if (!done)
        throw std::move(done.error());
}

} // namespace

// The limit on tasks bounds what follows: no block, however it was written, makes more than max_tasks ids.
Expected<void> Taskmap::append(uint32_t nodeid, uint32_t nnodes, uint32_t ppn, uint32_t repeat)
{
    if (nnodes < 1 || ppn < 1 || repeat < 1)
        return fail(EINVAL, "taskmap block [{},{},{},{}]: nodes, tasks per node and repeat must be positive",
                    nodeid, nnodes, ppn, repeat);
    if (nnodes > max_tasks || ppn > max_tasks || repeat > max_tasks || uint64_t(nnodes) * ppn > max_tasks ||
        uint64_t(nnodes) * ppn * repeat + ntasks_ > max_tasks || uint64_t(nodeid) + nnodes > max_tasks)
        return fail(EINVAL, "taskmap: more than {} tasks or nodes", max_tasks);
    ntasks_ += nnodes * ppn * repeat;
    nnodes_ = std::max(nnodes_, nodeid + nnodes);
    if (nnodes == 1) { // on one node a repeat is just more tasks
        ppn *= repeat;
        repeat = 1;
    }
    if (!blocks_.empty()) {
        Block &last = blocks_.back();
        if (last.nodeid == nodeid && last.nnodes == 1 && nnodes == 1) {
            last.ppn += ppn;
            return {};
        }
        if (last.nodeid == nodeid && last.nnodes == nnodes && last.ppn == ppn) {
            last.repeat += repeat;
            return {};
        }
        if (last.nodeid + last.nnodes == nodeid && last.ppn == ppn && last.repeat == 1 && repeat == 1) {
            last.nnodes += nnodes;
            return {};
        }
    }
    if (blocks_.size() >= max_blocks)
        return fail(EINVAL, "taskmap: more than {} blocks", max_blocks);
    blocks_.push_back({nodeid, nnodes, ppn, repeat});
    return {};
}

Taskmap Taskmap::block(const std::vector<uint32_t> &tasks_per_node)
{
    Taskmap out;
    for (uint32_t node = 0; node < tasks_per_node.size(); node++)
        if (tasks_per_node[node] > 0)
            must(out.append(node, 1, tasks_per_node[node]));
    return out;
}

Taskmap Taskmap::cyclic(const std::vector<uint32_t> &tasks_per_node, uint32_t stride)
{
    if (stride < 1)
        throw Error(EINVAL, "taskmap cyclic: the stride must be positive");
    Taskmap out;
    auto left = tasks_per_node;
    std::vector<uint32_t> active;
    for (uint32_t node = 0; node < left.size(); node++)
        if (left[node] > 0)
            active.push_back(node);
    // Nodes with tasks left, in runs of neighbours that take equally many: one row of blocks. A row that is
    // one block is taken as often as it fits at once, so that 4096 nodes of 256 tasks are one step and not
    // 256.
    while (!active.empty()) {
        std::vector<Block> row;
        uint32_t whole_rounds = UINT32_MAX;
        for (uint32_t node : active) {
            uint32_t count = std::min(stride, left[node]);
            whole_rounds = std::min(whole_rounds, left[node] / stride);
            if (!row.empty() && row.back().nodeid + row.back().nnodes == node && row.back().ppn == count)
                row.back().nnodes++;
            else
                row.push_back({node, 1, count, 1});
        }
        uint32_t rounds = row.size() == 1 ? std::max(1u, whole_rounds) : 1;
        for (const auto &part : row)
            must(out.append(part.nodeid, part.nnodes, part.ppn, rounds));
        for (uint32_t node : active)
            left[node] -= std::min(uint64_t(left[node]), uint64_t(stride) * rounds);
        std::erase_if(active, [&](uint32_t node) { return left[node] == 0; });
    }
    return out;
}

Expected<Taskmap> Taskmap::from_idsets(const std::vector<Idset> &tasks_of_node)
{
    struct Piece {
        Idset::Run tasks;
        uint32_t node;
    };
    std::vector<Piece> pieces;
    for (uint32_t node = 0; node < tasks_of_node.size(); node++)
        for (const auto &run : tasks_of_node[node].runs())
            pieces.push_back({run, node});
    std::ranges::sort(pieces, {}, [](const Piece &piece) { return piece.tasks.first; });
    uint32_t expected = 0;
    std::vector<Block>
        row; // blocks of one pass over ascending nodes, gathered so that equal passes become repeats
    Taskmap out;
    auto flush = [&]() -> Expected<void> {
        for (const auto &part : row)
            if (auto done = out.append(part.nodeid, part.nnodes, part.ppn); !done)
                return done;
        row.clear();
        return {};
    };
    for (const auto &piece : pieces) {
        if (piece.tasks.first < expected)
            return fail(EINVAL, "taskmap: task {} is on two nodes", piece.tasks.first);
        if (piece.tasks.first > expected)
            return fail(EINVAL, "taskmap: task {} is on no node", expected);
        uint32_t ppn = piece.tasks.last - piece.tasks.first + 1;
        expected = piece.tasks.last + 1;
        if (!row.empty() && row.back().nodeid + row.back().nnodes == piece.node && row.back().ppn == ppn) {
            row.back().nnodes++;
            continue;
        }
        if (!row.empty() && piece.node < row.back().nodeid + row.back().nnodes)
            if (auto done = flush(); !done)
                return std::unexpected(done.error());
        row.push_back({piece.node, 1, ppn, 1});
    }
    if (auto done = flush(); !done)
        return std::unexpected(done.error());
    return out;
}

uint32_t Taskmap::ntasks(uint32_t nodeid) const noexcept
{
    uint32_t count = 0;
    for (const auto &block : blocks_)
        if (nodeid >= block.nodeid && nodeid - block.nodeid < block.nnodes)
            count += block.ppn * block.repeat;
    return count;
}

Idset Taskmap::tasks(uint32_t nodeid) const
{
    Idset out;
    uint32_t start = 0;
    for (const auto &block : blocks_) {
        uint32_t per_round = block.nnodes * block.ppn;
        if (nodeid >= block.nodeid && nodeid - block.nodeid < block.nnodes)
            for (uint32_t round = 0; round < block.repeat; round++) {
                uint32_t first = start + round * per_round + (nodeid - block.nodeid) * block.ppn;
                out.add(first, first + block.ppn - 1);
            }
        start += per_round * block.repeat;
    }
    return out;
}

Expected<uint32_t> Taskmap::node_of(uint32_t task) const
{
    uint32_t start = 0;
    for (const auto &block : blocks_) {
        uint32_t per_round = block.nnodes * block.ppn;
        if (task - start < per_round * block.repeat)
            return block.nodeid + (task - start) % per_round / block.ppn;
        start += per_round * block.repeat;
    }
    return fail(ENOENT, "taskmap of {} tasks has no task {}", ntasks_, task);
}

Expected<void> Taskmap::check_against(const Taskmap &expected) const
{
    if (ntasks_ != expected.ntasks_)
        return fail(EINVAL, "taskmap has {} tasks where the job has {}", ntasks_, expected.ntasks_);
    if (nnodes_ != expected.nnodes_)
        return fail(EINVAL, "taskmap has {} nodes where the job has {}", nnodes_, expected.nnodes_);
    for (uint32_t node = 0; node < nnodes_; node++)
        if (ntasks(node) == 0 && expected.ntasks(node) > 0)
            return fail(EINVAL, "taskmap leaves node {} without a task", node);
    return {};
}

} // namespace flux
