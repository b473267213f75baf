#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <random>
#include <thread>

#include "common/pmi/pmi_client.hpp"
#include "common/pmi/pmi_server.hpp"

namespace flux {
namespace {

struct Peer {
    std::map<std::string, std::string, std::less<>> kvs;
    std::string sent;
    int barriers = 0;
    std::optional<int> aborted;
    std::optional<std::string> broken;
    PmiServer server {{.rank = 1, .size = 4, .kvsname = "kvs"},
                      {.send = [this](std::string_view bytes) { sent += bytes; },
                       .put = [this](std::string_view key,
                                     std::string_view value) { return kvs.emplace(key, value).second; },
                       .get = [this](std::string_view key) -> std::optional<std::string> {
                           auto found = kvs.find(key);
                           return found == kvs.end() ? std::nullopt : std::optional(found->second);
                       },
                       .barrier = [this] { barriers++; },
                       .abort = [this](int code, std::string_view) { aborted = code; },
                       .protocol_error =
                           [this](const Error &error) {
                               broken = error.text();
                           }}};

    std::string ask(std::string_view request)
    {
        sent.clear();
        server.receive(request);
        return sent;
    }
    Peer &ready()
    {
        ask("cmd=init pmi_version=1 pmi_subversion=1\n");
        return *this;
    }
};

TEST(Pmi, a_value_keeps_its_blanks_and_equal_signs)
{
    auto line = pmi::Line::parse("  cmd=put \t key=a extra=1 value=b c=d  e");
    ASSERT_TRUE(line);
    EXPECT_EQ(line->get("value"), "b c=d  e");
    EXPECT_EQ(line->get("key"), "a");
    EXPECT_EQ(line->find_int("extra"), 1);
    EXPECT_FALSE(line->find("none"));
}

TEST(Pmi, a_value_may_follow_a_message)
{
    auto line = pmi::Line::parse("cmd=get_result rc=0 msg=all is well value=a b msg=c");
    ASSERT_TRUE(line);
    EXPECT_EQ(line->get("msg"), "all is well");
    EXPECT_EQ(line->get("value"), "a b msg=c");
    line = pmi::Line::parse("cmd=put_result rc=-1 msg=no room left");
    ASSERT_TRUE(line);
    EXPECT_EQ(line->get("msg"), "no room left");
}

TEST(Pmi, the_server_answers_every_question)
{
    Peer peer;
    EXPECT_EQ(peer.ask("cmd=init pmi_version=1 pmi_subversion=1\n"),
              "cmd=response_to_init rc=0 pmi_version=1 pmi_subversion=1\n");
    EXPECT_EQ(peer.ask("cmd=get_maxes\n"), "cmd=maxes rc=0 kvsname_max=64 keylen_max=64 vallen_max=1024\n");
    EXPECT_EQ(peer.ask("cmd=get_my_kvsname\n"), "cmd=my_kvsname rc=0 kvsname=kvs\n");
    EXPECT_EQ(peer.ask("cmd=get_universe_size\n"), "cmd=universe_size rc=0 size=4\n");
    EXPECT_EQ(peer.ask("cmd=get_appnum\n"), "cmd=appnum rc=0 appnum=0\n");
    EXPECT_EQ(peer.ask("cmd=put kvsname=kvs key=a value=b c\n"), "cmd=put_result rc=0\n");
    EXPECT_EQ(peer.ask("cmd=put kvsname=other key=b value=c\n"), "cmd=put_result rc=-1\n");
    EXPECT_EQ(peer.ask("cmd=get kvsname=kvs key=a\n"), "cmd=get_result rc=0 value=b c\n");
    EXPECT_EQ(peer.ask("cmd=get kvsname=kvs key=none\n"), "cmd=get_result rc=-1\n");
    EXPECT_EQ(peer.ask("cmd=barrier_in\n"), "");
    EXPECT_EQ(peer.barriers, 1);
    peer.server.barrier_complete();
    EXPECT_EQ(peer.sent, "cmd=barrier_out rc=0\n");
    EXPECT_EQ(peer.ask("mcmd=spawn\nnprocs=1\nexecname=a b\nendcmd\n"), "cmd=spawn_result rc=-1\n");
    EXPECT_TRUE(peer.server.active());
    EXPECT_EQ(peer.ask("cmd=finalize\n"), "cmd=finalize_ack rc=0\n");
    EXPECT_FALSE(peer.server.active());
    EXPECT_FALSE(peer.broken);
}

TEST(Pmi, a_line_may_come_in_pieces)
{
    Peer peer;
    EXPECT_EQ(peer.ask("cmd=in"), "");
    EXPECT_NE(peer.ask("it pmi_version=1\ncmd=get_ap").find("rc=0"), std::string::npos);
    EXPECT_EQ(peer.ask("pnum\n"), "cmd=appnum rc=0 appnum=0\n");
}

TEST(Pmi, violations_end_the_connection_once)
{
    for (std::string_view bytes : {"cmd=get_maxes\n", "nonsense\n", "cmd=\x01\n"}) {
        Peer peer;
        EXPECT_EQ(peer.ask(bytes), "");
        EXPECT_TRUE(peer.broken) << bytes;
        EXPECT_EQ(peer.ask("cmd=init pmi_version=1\n"), "");
    }
    Peer unknown, early, endless;
    unknown.ready().ask("cmd=dance\n");
    EXPECT_TRUE(unknown.broken);
    early.ready().ask("cmd=barrier_in\ncmd=get_maxes\n");
    EXPECT_TRUE(early.broken);
    endless.ask(std::string(pmi::max_line, 'a'));
    EXPECT_TRUE(endless.broken);
}

TEST(Pmi, an_abort_tells_its_code)
{
    Peer peer;
    peer.ready().ask("cmd=abort exitcode=7\n");
    EXPECT_EQ(peer.aborted, 7);
}

TEST(Pmi, no_bytes_make_the_server_do_more_than_refuse)
{
    std::mt19937 random(42);
    const std::string words[] = {"cmd=",
                                 "init ",
                                 "put ",
                                 "get ",
                                 "key=",
                                 "value=",
                                 "kvsname=kvs ",
                                 "\n",
                                 "mcmd=spawn",
                                 "endcmd",
                                 " ",
                                 "=",
                                 "pmi_version=1",
                                 "barrier_in",
                                 "\t",
                                 "999999999999999999999"};
    for (int round = 0; round < 20000; round++) {
        std::string bytes;
        for (auto n = random() % 20; n; n--)
            bytes += random() % 5 ? words[random() % std::size(words)] : std::string(1, char(random()));
        Peer peer;
        peer.ready().ask(bytes);
        for (const auto &[key, value] : peer.kvs)
            ASSERT_TRUE(pmi::valid_key(key) && pmi::valid_value(value));
        if (auto line = pmi::Line::parse(bytes); line && !line->tuples().empty()) {
            auto text = line->encode();
            text.pop_back();
            auto again = pmi::Line::parse(text);
            ASSERT_TRUE(again);
            ASSERT_EQ(again->tuples(), line->tuples());
        }
    }
}

TEST(Pmi, client_and_server_understand_each_other)
{
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    std::jthread server([fd = ends[1]] {
        Peer peer;
        char buffer[512];
        ssize_t n;
        while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
            auto answer = peer.ask(std::string_view(buffer, size_t(n)));
            if (peer.server.in_barrier()) {
                peer.server.barrier_complete();
                answer = peer.sent;
            }
            if (write(fd, answer.data(), answer.size()) < 0)
                break;
        }
        close(fd);
    });
    {
        PmiClient client(ends[0], 1, 4);
        EXPECT_EQ(client.kvsname(), "kvs");
        client.put("card", "tcp://a b=c");
        client.barrier();
        EXPECT_EQ(client.get("card"), "tcp://a b=c");
        EXPECT_EQ(client.universe_size(), 4u);
        try {
            client.get("absent");
            FAIL();
        } catch (const Error &error) {
            EXPECT_EQ(error.errnum(), ENOENT);
        }
        EXPECT_THROW(client.put("bad key", "x"), Error);
        client.finalize();
    }
}

TEST(Pmi, without_PMI_FD_there_is_no_client)
{
    unsetenv("PMI_FD");
    EXPECT_FALSE(PmiClient::from_environment());
    setenv("PMI_FD", "x", 1);
    EXPECT_THROW(PmiClient::from_environment(), Error);
    unsetenv("PMI_FD");
}

} // namespace
} // namespace flux
