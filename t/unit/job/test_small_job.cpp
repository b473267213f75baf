#include <gtest/gtest.h>

#include <csignal>

#include "common/base/encoding.hpp"
#include "common/job/eventlog.hpp"
#include "common/job/job_exit.hpp"
#include "common/job/job_state.hpp"
#include "common/job/sign.hpp"

using namespace flux;
using namespace std::string_literals;

TEST(Eventlog, TheExampleOfTheRfcReadsAndWritesBack)
{
    // The alloc line of the RFC lacks quotes around its key; here it has them.
    const char *log =
        R"({"timestamp":1552593348.073045,"name":"submit","context":{"urgency":16,"userid":5588,"flags":0}}
{"timestamp":1552593547.411336,"name":"urgency","context":{"urgency":0,"userid":5588}}
{"timestamp":1552593348.088391,"name":"alloc","context":{"note":"rank0/core[0-1]"}}
{"timestamp":1552593348.093541,"name":"free"}
{"timestamp":1552593348.089787,"name":"start"}
{"timestamp":1552593348.09283,"name":"release","context":{"ranks":"all","final":true}}
{"timestamp":1552593348.090927,"name":"finish","context":{"status":0}}
{"timestamp":1552593348.104432,"name":"clean"}
)";
    auto events = value_or_throw(parse_eventlog(log));
    ASSERT_EQ(events.size(), 8u);
    EXPECT_EQ(events[0].name, "submit");
    EXPECT_EQ(events[0].context.get<int>("userid"), 5588);
    EXPECT_FALSE(events[3].context);
    EXPECT_EQ(encode_eventlog(events), log);
    EXPECT_TRUE(value_or_throw(parse_eventlog("")).empty());
}

TEST(Eventlog, AnEventIsOneLineWhateverItsName)
{
    Event event {12, "odd\n\"name", Json {{"text", "a\nb"}}};
    auto line = event.encode();
    EXPECT_EQ(std::ranges::count(line, '\n'), 1);
    EXPECT_EQ(value_or_throw(Event::parse(line)), event);
    EXPECT_EQ(line.substr(0, 18), "{\"timestamp\":12.0,");
    std::string fast;
    Event::encode_to(fast, 1552593348.093541, "free", "");
    EXPECT_EQ(fast, "{\"timestamp\":1552593348.093541,\"name\":\"free\"}\n");
}

TEST(Eventlog, BadEventsAreRefusedWithTheirLine)
{
    for (auto line :
         {"", "x", "[]", R"({"name":"a"})", R"({"timestamp":1})", R"({"timestamp":0,"name":"a"})",
          R"({"timestamp":-1,"name":"a"})", R"({"timestamp":"1","name":"a"})", R"({"timestamp":1,"name":""})",
          R"({"timestamp":1,"name":"a","context":[]})", "{\"timestamp\":1,\n\"name\":\"a\"}"})
        EXPECT_FALSE(Event::parse(line)) << line;
    auto log = parse_eventlog("{\"timestamp\":1,\"name\":\"a\"}\n{\"timestamp\":0,\"name\":\"a\"}\n");
    EXPECT_TRUE(log.error().text().starts_with("event log line 2: "));
    EXPECT_FALSE(parse_eventlog("{\"timestamp\":1,\"name\":\"a\"}"));
}

TEST(JobState, NamesAndBitsAreThoseOfTheWire)
{
    EXPECT_EQ(job_states::all, 126u);
    EXPECT_EQ(job_states::active, 62u);
    EXPECT_EQ(job_states::inactive, 64u);
    EXPECT_EQ(value_or_throw(parse_states("sched")), 8u);
    EXPECT_EQ(value_or_throw(parse_states("PENDING")), 14u);
    EXPECT_EQ(value_or_throw(parse_states("R")), 16u);
    EXPECT_EQ(value_or_throw(parse_states("active")), 62u);
    EXPECT_FALSE(parse_states("bored"));
    EXPECT_FALSE(parse_states(""));
    EXPECT_EQ(state_name(JobState::new_), "NEW");
    EXPECT_EQ(state_abbrev(JobState::cleanup), "C");
    EXPECT_EQ(value_or_throw(state_from_bit(16)), JobState::run);
    EXPECT_FALSE(state_from_bit(3));
    EXPECT_FALSE(state_from_bit(128));
    EXPECT_EQ(value_or_throw(parse_results("ca")), 4u);
    EXPECT_EQ(result_abbrev(JobResult::timeout), "TO");
    EXPECT_FALSE(result_from_bit(16));
    EXPECT_EQ(status_name(JobState::inactive, JobResult::failed), "FAILED");
    EXPECT_EQ(status_abbrev(JobState::sched, JobResult::failed), "S");
}

TEST(JobFlags, NamesBecomeBitsAndBack)
{
    EXPECT_EQ(value_or_throw(parse_job_flags("waitable,debug")), job_flags::waitable | job_flags::debug);
    EXPECT_EQ(value_or_throw(parse_job_flags("")), 0u);
    EXPECT_FALSE(parse_job_flags("fast"));
    EXPECT_EQ(job_flag_names(14), (std::vector<std::string> {"debug", "waitable", "novalidate"}));
}

TEST(JobExit, AWaitStatusIsACodeAndASentence)
{
    EXPECT_EQ(exit_code_of(wait_status_of_exit(3)), 3);
    EXPECT_EQ(exit_code_of(wait_status_of_signal(SIGTERM)), 143);
    EXPECT_EQ(describe_wait_status(0), "completed successfully");
    EXPECT_EQ(describe_wait_status(wait_status_of_exit(3)), "exited with exit code 3");
    EXPECT_EQ(describe_wait_status(wait_status_of_signal(SIGSEGV, true)),
              "killed by signal 11 (Segmentation fault), core dumped");
    EXPECT_EQ(short_wait_status(wait_status_of_exit(2)), "exit 2");
    EXPECT_EQ(parse_signal("SIGTERM"), SIGTERM);
    EXPECT_EQ(parse_signal("USR1"), SIGUSR1);
    EXPECT_EQ(parse_signal("9"), 9);
    for (auto name : {"", "0", "-1", "99999", "SIGNAL", "9x"})
        EXPECT_EQ(parse_signal(name), 0) << name;
    EXPECT_EQ(signal_name(SIGINT), "SIGINT");
    EXPECT_EQ(signal_name(0), "signal 0");
}

TEST(SignedJobspec, TheOwnersFormIsAsOnTheWire)
{
    std::string j = sign_none(0, "{}");
    EXPECT_EQ(j, "dmVyc2lvbgBpMQB1c2VyaWQAaTAAbWVjaGFuaXNtAHNub25lAA==.e30=.none");
    auto unwrapped = value_or_throw(unwrap(sign_none(1000, "{\"version\":1}")));
    EXPECT_EQ(unwrapped.userid, 1000u);
    EXPECT_EQ(unwrapped.mechanism, "none");
    EXPECT_EQ(unwrapped.payload, "{\"version\":1}");
}

TEST(SignedJobspec, AnyOrderOfHeaderEntriesReadsAndFaultsAreNamed)
{
    auto with = [](const std::string &header, const char *rest = ".e30=.none") {
        return unwrap(base64_encode(header) + rest);
    };
    EXPECT_TRUE(with("mechanism\0snone\0userid\0i7\0version\0i1\0"s));
    EXPECT_EQ(value_or_throw(
                  with("mechanism\0smunge\0userid\0i7\0version\0i1\0munge.x\0sfoo\0"s, ".e30=.MUNGE:xyz:"))
                  .mechanism,
              "munge");
    EXPECT_FALSE(with("mechanism\0snone\0userid\0i7\0version\0i2\0"s));
    EXPECT_FALSE(with("mechanism\0snone\0userid\0i-1\0version\0i1\0"s));
    EXPECT_FALSE(with("mechanism\0snone\0userid\0i4294967295\0version\0i1\0"s));
    EXPECT_FALSE(with("mechanism\0snone\0userid\0s7\0version\0i1\0"s));
    EXPECT_FALSE(with("mechanism\0snone\0userid\0i7\0userid\0i8\0version\0i1\0"s));
    EXPECT_FALSE(with("userid\0i7\0version\0i1\0"s));
    EXPECT_FALSE(with("mechanism\0snone\0userid\0i7\0version\0i1"s));
    EXPECT_FALSE(with("mechanism\0snone\0userid\0i7\0version\0i1\0"s, ".e30=.other"));
    EXPECT_FALSE(with("mechanism\0snone\0userid\0i7\0version\0i1\0"s, ".e3!=.none"));
    for (auto text : {"", "a", "a.b", "..", "!.e30=.none"})
        EXPECT_FALSE(unwrap(text)) << text;
}
