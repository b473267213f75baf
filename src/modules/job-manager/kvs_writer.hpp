// KvsWriter: what many jobs want written, as few commits as possible. What is added while a commit is under
// way joins the next one; appends to one key become one operation. One commit is in flight at a time, so the
// order of what one party adds is the order in the store.
//
//     auto written = writer.append(job.kvs_path("eventlog"), line);
//     co_await writer.wait(written);     // durable now, or throws what the commit failed with
//
// What is the record of something that has happened must not be lost when the store cannot write for a while (a full
// disk): such a writer tries again until it can, and later ones wait behind it. What is only asked for is refused.
#pragma once
#include <deque>
#include <map>
#include <unordered_map>

#include "common/client/handle.hpp"
#include "common/kvs/treeobj.hpp"

namespace flux {

// The operations of one commit to be (kvs.commit's "ops"), in order.
class CommitBatch {
public:
    static constexpr int append_flag = 32;

    void append(const std::string &key, std::string_view text)
    {
        auto [at, fresh] = appends_.try_emplace(key, ops_.size());
        if (fresh)
            ops_.push_back({key, {}, {}, append_flag});
        ops_[at->second].text += text;
    }
    void put(const std::string &key, std::string_view text) { set(key, treeobj::make_val(text)); }
    void set(const std::string &key, Json dirent)
    {
        appends_.erase(key); // a later append comes after this value
        ops_.push_back({key, {}, std::move(dirent), 0});
    }
    void unlink(const std::string &key) { set(key, Json(nullptr)); }
    bool empty() const { return ops_.empty(); }
    size_t size() const { return ops_.size(); }
    // The array for kvs.commit; the batch is empty after it.
    Json take()
    {
        Json out = Json::array();
        for (auto &op : ops_)
            out.append(Json {{"key", op.key},
                             {"flags", op.flags},
                             {"dirent", op.flags ? treeobj::make_val(op.text) : std::move(op.dirent)}});
        ops_.clear();
        appends_.clear();
        return out;
    }

private:
    struct Op {
        std::string key;
        std::string text;
        Json dirent;
        int flags;
    };
    std::vector<Op> ops_;
    std::unordered_map<std::string, size_t> appends_;
};

class KvsWriter {
public:
    using Ticket = uint64_t;
    enum class OnFailure { refuse, retry };
    // `trouble` is told when a commit is tried again, with why, and when that came to its end, with nullptr.
    using Trouble = std::function<void(const Error *)>;
    explicit KvsWriter(Handle &handle, OnFailure on_failure = OnFailure::refuse, Trouble trouble = {})
        : handle_(handle), changed_(handle.loop()), on_failure_(on_failure), trouble_(std::move(trouble))
    {
    }

    Ticket append(const std::string &key, std::string_view text) { return batch_.append(key, text), kick(); }
    Ticket put(const std::string &key, std::string_view text) { return batch_.put(key, text), kick(); }
    Ticket set(const std::string &key, Json dirent) { return batch_.set(key, std::move(dirent)), kick(); }
    Ticket unlink(const std::string &key) { return batch_.unlink(key), kick(); }

    // Returns once what got this ticket is in the store; throws when its commit failed.
    Task<> wait(Ticket ticket)
    {
        while (done_ < ticket)
            co_await changed_.wait();
        auto failed = failures_.find(ticket);
        if (failed != failures_.end())
            throw failed->second;
    }
    // Of what was added last.
    Ticket latest() const { return batch_.empty() ? next_ - 1 : next_; }
    Task<> flush() { return wait(latest()); }
    // The last flush: what cannot be written soon is given up. What is added after it goes nowhere: whoever reads the
    // store next must not be overtaken by a commit that is on its way still.
    Task<> close()
    {
        giving_up_ = true;
        while (running_)
            co_await changed_.wait();
        closed_ = true;
        auto failed = failures_.find(done_);
        if (failed != failures_.end())
            throw failed->second;
    }
    uint64_t commits() const { return done_; }

private:
    static constexpr size_t remembered_failures = 64;
    static constexpr Duration first_pause = std::chrono::milliseconds(50); // before a commit is tried again
    static constexpr Duration longest_pause = std::chrono::seconds(1);

    Ticket kick()
    {
        if (!running_ && !closed_) {
            running_ = true;
            // From the top of the loop: what the same step still adds belongs to the same commit.
            handle_.post([this] { handle_.gate().spawn(run()); });
        }
        return next_;
    }
    Task<> run()
    {
        while (!batch_.empty()) {
            Ticket ticket = next_++;
            // (gcc 12: no initializer list inside a co_await expression)
            Json args {{"namespace", "primary"}, {"flags", 0}, {"ops", batch_.take()}};
            auto failure = co_await commit(args);
            for (auto pause = first_pause; failure && worth_retrying(*failure); pause = std::min(2 * pause, longest_pause)) {
                if (!std::exchange(in_trouble_, true) && trouble_)
                    trouble_(&*failure);
                co_await sleep_for(handle_.loop(), pause);
                failure = co_await commit(args);
            }
            if (!failure && std::exchange(in_trouble_, false) && trouble_)
                trouble_(nullptr);
            if (failure) {
                failures_.emplace(ticket, *failure);
                if (failures_.size() > remembered_failures)
                    failures_.erase(failures_.begin());
            }
            done_ = ticket;
            changed_.notify_all();
        }
        running_ = false;
        changed_.notify_all();
    }

    Task<std::optional<Error>> commit(Json args)
    {
        std::optional<Error> failure;
        try {
            co_await handle_.rpc("kvs.commit", args);
        } catch (const Error &error) {
            failure = error;
        }
        co_return failure;
    }
    // Nothing of a commit that failed like this is in the store.
    bool worth_retrying(const Error &error) const
    {
        return on_failure_ == OnFailure::retry && !giving_up_ &&
               (error.errnum() == ENOSPC || error.errnum() == EIO || error.errnum() == ENOSYS ||
                error.errnum() == EAGAIN);
    }

    Handle &handle_;
    CommitBatch batch_;
    Condition changed_;
    OnFailure on_failure_;
    Trouble trouble_;
    bool in_trouble_ = false;
    bool giving_up_ = false;
    bool closed_ = false;
    std::map<Ticket, Error> failures_;
    Ticket next_ = 1; // of what is in batch_
    Ticket done_ = 0;
    bool running_ = false;
};

} // namespace flux
