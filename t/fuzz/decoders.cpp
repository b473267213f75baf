#include "fuzz/decoders.hpp"

#include <algorithm>
#include <iterator>

#include "common/job/eventlog.hpp"
#include "common/job/jobspec.hpp"
#include "common/job/resource_set.hpp"
#include "common/job/sign.hpp"
#include "common/kvs/treeobj.hpp"
#include "common/types/constraint.hpp"
#include "common/types/duration.hpp"
#include "common/types/hostlist.hpp"
#include "common/types/idset.hpp"
#include "common/types/job_id.hpp"
#include "common/types/range.hpp"
#include "common/types/taskmap.hpp"
#include "common/types/urgency.hpp"

namespace flux::fuzz {

namespace {

template <class T>
T again(Expected<T> &&result, const std::string &text)
{
    if (!result)
        throw RoundTripError("\"" + text.substr(0, 200) +
                             "\" was written but is refused: " + result.error().text());
    return std::move(*result);
}

void expect(bool holds, const std::string &text)
{
    if (!holds)
        throw RoundTripError("\"" + text.substr(0, 200) + "\" reads back differently");
}

void idset(std::string_view text)
{
    if (auto set = Idset::parse(text)) {
        auto written = set->format(Idset::Brackets::unless_single);
        expect(again(Idset::parse(written), written) == *set, written);
    }
}

void hostlist(std::string_view text)
{
    if (auto list = Hostlist::parse(text); list && list->size() < 20000) {
        auto written = list->encode();
        auto back = again(Hostlist::parse(written), written);
        expect(back == *list && back.encode() == written, written);
        if (!list->empty()) {
            expect(list->find(list->nth(0)) == size_t(0), written);
            expect(list->contains(list->nth(list->size() - 1)), written);
        }
    }
}

void job_id(std::string_view text)
{
    if (auto id = JobId::parse(text))
        for (auto encoding : {"f58", "dec", "hex", "dothex", "kvs", "words", "emoji"}) {
            auto written = *id->encode(encoding);
            expect(again(JobId::parse(written), written) == *id, written);
        }
}

void duration(std::string_view text)
{
    if (auto seconds = parse_duration(text)) {
        auto written = format_duration(*seconds, 17);
        double back = again(parse_duration(written), written);
        double tolerance = std::max(*seconds * 1e-15, 1e-307);
        expect(back == *seconds || (back - *seconds < tolerance && *seconds - back < tolerance), written);
    }
    (void)parse_time_limit(text);
    (void)parse_urgency(text);
}

void count(std::string_view text)
{
    if (auto parsed = Count::parse(text)) {
        auto written = parsed->format();
        expect(again(Count::parse(written), written).to_json() == parsed->to_json(), written);
        uint64_t n = 0;
        for (int i = 0; i < 10; i++) {
            auto next = parsed->next(n);
            if (!next)
                break;
            expect(*next > n && parsed->contains(*next) && parsed->floor(*next) == next, written);
            n = *next;
        }
    }
}

void taskmap(std::string_view text)
{
    if (auto map = Taskmap::parse(text); map && map->ntasks() < 100000 && map->nnodes() < 100000) {
        auto raw = map->encode_raw();
        expect(again(Taskmap::parse(raw), raw).encode_raw() == raw, raw);
        auto json = map->encode();
        expect(again(Taskmap::parse(json), json).encode_raw() == raw, json);
        auto pmi = map->encode_pmi();
        expect(again(Taskmap::parse(pmi), pmi).encode_raw() == raw, pmi);
    }
}

void constraint(std::string_view text)
{
    if (auto json = Json::parse(text))
        (void)validate_resource_constraint(*json);
}

void constraint_query(std::string_view text)
{
    if (auto json = parse_resource_query(text); json && *json) {
        auto valid = validate_resource_constraint(*json);
        expect(valid.has_value(), json->dump());
    }
    (void)parse_constraint_query(text, {.default_operator = "name"});
}

void event(std::string_view text)
{
    if (auto parsed = Event::parse(text)) {
        auto written = parsed->encode();
        expect(again(Event::parse(written), written) == *parsed, written);
    }
    (void)parse_eventlog(text);
}

void jobspec(std::string_view text)
{
    auto json = Json::parse(text);
    if (!json)
        return;
    if (auto parsed = Jobspec::parse(*json)) {
        (void)parsed->check_v1();
        (void)parsed->shape();
        (void)parsed->ntasks();
        (void)parsed->name();
        Json again_json = json->shallow_copy();
        Json resources = Json::array();
        for (const auto &vertex : parsed->resources())
            resources.append(vertex.to_json());
        again_json.set("resources", resources);
        auto back = again(Jobspec::parse(again_json), resources.dump());
        for (size_t i = 0; i < back.resources().size(); i++)
            expect(back.resources()[i].to_json() == resources[i], resources.dump());
    }
}

void resource_set(std::string_view text)
{
    if (auto set = ResourceSet::parse(text); set && set->nnodes() < 20000) {
        auto written = set->encode();
        auto back = again(ResourceSet::parse(std::string_view(written)), written);
        expect(back.same_resources(*set) && back.nodelist() == set->nodelist() && back.encode() == written,
               written);
        (void)set->summary();
    }
}

void signed_jobspec(std::string_view text)
{
    if (auto parsed = unwrap(text); parsed && parsed->mechanism == "none") {
        auto written = sign_none(parsed->userid, parsed->payload);
        expect(again(unwrap(written), written).payload == parsed->payload, written);
    }
}

void tree_object(std::string_view text)
{
    if (auto object = treeobj::parse(text)) {
        auto written = treeobj::encode(*object);
        expect(again(treeobj::parse(written), written) == *object, written);
    }
}

void dependency(std::string_view text)
{
    if (auto json = parse_dependency_uri(text))
        expect(validate_dependency(*json).has_value(), json->dump());
}

} // namespace

std::span<const Decoder> decoders()
{
    static const std::vector<Decoder> all = [] {
        auto out = text_decoders();
        std::ranges::move(wire_decoders(), std::back_inserter(out));
        std::ranges::move(graph_decoders(), std::back_inserter(out));
        return out;
    }();
    return all;
}

std::vector<Decoder> text_decoders()
{
    return {
        {"idset", idset, {"1-3,5-6,42", "[0-7]", "0", "16777215", ""}},
        {"hostlist", hostlist, {"foo[0-4]-eth2,bar", "a[005,4,11-13]", "n08,n09,n10", "[00-2]", "vm,vm"}},
        {"job_id",
         job_id,
         {"ƒuZZybuNNy", "fuZZybuNNy", "6731191091817518", "0x17e9fb8df16c2e", "job.0017.e9fb.8df1.6c2e",
          "reform-remote-galileo--heart-package-academy", "😄😹🎇📥🏧🙉🔞"}},
        {"duration", duration, {"1.5h", "500ms", "inf", "0x1p4", "1e3d", "31"}},
        {"count", count, {"2-64:2:*", "4,9,16", "[100+]", "2+:3:^", "1-5:2"}},
        {"taskmap",
         taskmap,
         {"[[0,6,1,2],[4,2,1,2]]", "(vector,(0,4,2),(4,2,4))", "0,6;1,7;2,8;3,9;4,5",
          "{\"version\":1,\"map\":[[0,4,4,1]]}"}},
        {"constraint",
         constraint,
         {R"({"and":[{"hostlist":["host[0-1]"]},{"not":[{"properties":["ssd","^gpu"]}]},{"ranks":["0-3"]}]})"}},
        {"constraint_query",
         constraint_query,
         {"(a|-b)&c host:fluke[1-5]", "not rank:0 or 'x y' and a,b", "-hosts:a"}},
        {"event",
         event,
         {R"({"timestamp":1552593348.073045,"name":"submit","context":{"urgency":16}})",
          "{\"timestamp\":1,\"name\":\"a\"}\n"}},
        {"jobspec",
         jobspec,
         {R"({"resources":[{"type":"node","count":"2-8:2:*","with":[{"type":"slot","count":1,"with":[{"type":"core","count":{"min":1}},{"type":"gpu","count":"1,4"}],"label":"task"}]}],"tasks":[{"command":["a","b"],"slot":"task","count":{"per_slot":1}}],"attributes":{"system":{"duration":0,"cwd":"/","environment":{"A":"b"},"dependencies":[{"scheme":"a","value":"b"}]}},"version":1})"}},
        {"resource_set",
         resource_set,
         {R"({"version":1,"execution":{"R_lite":[{"rank":"0,2-3","children":{"core":"0-35","gpu":"0-1"}},{"rank":"1","children":{"core":"1,9"}}],"nodelist":["node[3,0-2]"],"nslots":2,"properties":{"p":"0-1"},"starttime":0,"expiration":3600}})"}},
        {"signed_jobspec",
         signed_jobspec,
         {"dmVyc2lvbgBpMQB1c2VyaWQAaTAAbWVjaGFuaXNtAHNub25lAA==.e30=.none"}},
        {"treeobj",
         tree_object,
         {R"({"ver":1,"type":"dir","data":{"b":{"ver":1,"type":"val","data":"NDIyCg=="},"s":{"ver":1,"type":"symlink","data":{"target":"a"}},"d":{"ver":1,"type":"dirref","data":["sha1-c0a9faf907dda6216fd73bf81d0b3b21a1a8cb91"]}}})"}},
        {"dependency", dependency, {"afterok:f123", "string:foo?type=out&scope=user"}},
    };
}

} // namespace flux::fuzz
