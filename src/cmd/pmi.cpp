// flux pmi: a PMI-1 client that tries what a launcher or a job's shell offers its tasks.
#include <chrono>
#include <cstdlib>

#include "cmd/commands.hpp"
#include "cmd/print.hpp"
#include "common/pmi/pmi_client.hpp"
#include "common/types/idset.hpp"

namespace flux::cmd {

namespace {

using Clock = std::chrono::steady_clock;

PmiClient connect()
{
    auto pmi = PmiClient::from_environment();
    if (!pmi)
        throw Error(
            ENOENT,
            "no PMI server here: PMI_FD is not set; run this as a task: flux run -n2 flux pmi barrier");
    return std::move(*pmi);
}

void report(const PmiClient &pmi, std::string_view what, Clock::time_point begin)
{
    if (pmi.rank() == 0)
        print("{}: completed pmi {} on {} tasks in {:.3f}s.\n", pmi.kvsname(), what, pmi.size(),
              std::chrono::duration<double>(Clock::now() - begin).count());
}

int run_pmi_barrier(const Args &args, Session &)
{
    auto pmi = connect();
    if (args.has("test-timing"))
        pmi.barrier();
    auto begin = Clock::now();
    for (int64_t i = args.integer("test-count", 1); i > 0; i--)
        pmi.barrier();
    report(pmi, "barrier", begin);
    pmi.finalize();
    return 0;
}

int run_pmi_exchange(const Args &args, Session &)
{
    auto pmi = connect();
    pmi.barrier();
    auto begin = Clock::now();
    auto key = [](int64_t round, uint32_t rank) {
        return fmt::format("exchange.{}.{}", round, rank);
    };
    for (int64_t round = 0; round < args.integer("count", 1); round++) {
        pmi.put(key(round, pmi.rank()), std::to_string(pmi.rank()));
        pmi.barrier();
        for (uint32_t rank = 0; rank < pmi.size(); rank++)
            if (auto value = pmi.get(key(round, rank)); value != std::to_string(rank))
                throw Error(EPROTO, "the value of rank {} came back as \"{}\"", rank, value);
        pmi.barrier();
    }
    report(pmi, "exchange", begin);
    pmi.finalize();
    return 0;
}

int run_pmi_get(const Args &args, Session &)
{
    auto pmi = connect();
    auto which = args.value("ranks", "0");
    bool here = which == "all" || value_or_throw(Idset::parse(which)).contains(pmi.rank());
    for (auto &key : args.positional())
        if (here)
            print("{}\n", pmi.get(key));
    pmi.finalize();
    return 0;
}

const Command pmi_barrier {
    .name = "barrier",
    .summary = "Wait until every task is there",
    .options = {{"--test-timing", "line the tasks up before the time is taken"},
                {"--test-count=N", "so many barriers (1)"}},
    .max_args = 0,
    .run = run_pmi_barrier,
};
const Command pmi_exchange {
    .name = "exchange",
    .summary = "Let every task put a value and get all others'",
    .options = {{"--count=N", "so many exchanges (1)"}},
    .max_args = 0,
    .run = run_pmi_exchange,
};
const Command pmi_get {
    .name = "get",
    .args = "KEY...",
    .summary = "Print what the server says of keys",
    .options = {{"--ranks=RANKS", "the tasks that print: an idset or all (0)"}},
    .min_args = 1,
    .run = run_pmi_get,
};

} // namespace

const Command pmi {
    .name = "pmi",
    .summary = "Try the process management interface of a launcher",
    .subcommands = {&pmi_barrier, &pmi_exchange, &pmi_get},
};

} // namespace flux::cmd
