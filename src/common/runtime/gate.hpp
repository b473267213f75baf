// Gate: the tasks that belong to something (a module, a job, a client), started and stopped together. Closing a gate
// stops new ones, cancels those that run and leaves nothing behind: shut-down is that, level by level.
#pragma once
#include <functional>
#include <list>
#include <unordered_map>

#include "common/runtime/loop.hpp"
#include "common/runtime/task.hpp"

namespace flux {

class Gate {
public:
    using TaskId = uint64_t;
    // Called with what escapes a spawned task, from inside that task's last step.
    using ErrorHandler = std::function<void(const Error &)>;

    explicit Gate(Loop &loop, ErrorHandler on_error = {});
    void set_error_handler(ErrorHandler on_error) { on_error_ = std::move(on_error); }
    Gate(const Gate &) = delete;
    Gate &operator=(const Gate &) = delete;
    // Destroys every task that is left. Must not run inside one of them.
    ~Gate();

    // Starts the task at once (it runs to its first suspension before spawn returns). A closed gate destroys it unrun
    // and returns 0.
    TaskId spawn(Task<> task);
    // Destroys the task from the top of the loop.
    void cancel(TaskId id);
    void close();
    bool closed() const noexcept { return closed_; }
    size_t size() const noexcept { return roots_.size(); }

private:
    struct Root;
    static Root run(Gate &gate, TaskId id, Task<> task);
    void finished(TaskId id);

    Loop &loop_;
    ErrorHandler on_error_;
    TaskId next_id_ = 1;
    bool closed_ = false;
    std::unordered_map<TaskId, std::coroutine_handle<>> roots_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

} // namespace flux
