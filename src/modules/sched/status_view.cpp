#include "modules/sched/status_view.hpp"

namespace flux {

Json StatusView::get(Machine &machine)
{
    if (!all_ || changes_ != machine.changes()) {
        changes_ = machine.changes();
        all_ = machine.all().to_json();
        down_ = machine.down().to_json();
    }
    if (!allocated_)
        allocated_ = machine.allocated().to_json();
    return Json {{"all", all_}, {"down", down_}, {"allocated", allocated_}};
}

} // namespace flux
