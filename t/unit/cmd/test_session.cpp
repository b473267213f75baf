// The session and the local connector against a broker of a few lines on the other end of a real socket.
#include <filesystem>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include "common/client/session.hpp"

using namespace flux;

namespace {

// Accepts one client and answers its requests; "drop" closes the connection instead.
class TinyBroker {
public:
    static constexpr unsigned char hang_up = 255; // instead of an errno: says nothing

    explicit TinyBroker(unsigned char accept_byte)
    {
        char name[] = "/tmp/flux-test-XXXXXX";
        directory_ = ::mkdtemp(name);
        path_ = directory_ + "/local";
        listener_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address {};
        address.sun_family = AF_UNIX;
        path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
        EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr *>(&address), sizeof(address)), 0);
        EXPECT_EQ(::listen(listener_, 1), 0);
        thread_ = std::thread([this, accept_byte] { serve(accept_byte); });
    }
    ~TinyBroker()
    {
        thread_.join();
        ::close(listener_);
        std::filesystem::remove_all(directory_);
    }
    std::string uri() const { return "local://" + path_; }
    std::string path() const { return path_; }

private:
    void serve(unsigned char accept_byte)
    {
        int fd = ::accept(listener_, nullptr, nullptr);
        if (accept_byte != hang_up) {
            EXPECT_EQ(::write(fd, &accept_byte, 1), 1);
        }
        FrameReader reader;
        char chunk[4096];
        for (ssize_t n; !accept_byte && (n = ::read(fd, chunk, sizeof(chunk))) > 0;) {
            reader.append({chunk, size_t(n)});
            while (auto message = reader.next().value())
                if (!answer(fd, *message)) {
                    ::close(fd);
                    return;
                }
        }
        ::close(fd);
    }
    static bool answer(int fd, const Message &request)
    {
        if (request.topic == "drop")
            return false;
        Message response = Message::response_to(request, request.payload);
        if (request.topic == "attr.get")
            response = request.json().get<std::string>("name") == "size"
                           ? Message::response_to(request, Json {{"value", "7"}, {"flags", 1}})
                           : Message::error_response_to(request, Error(ENOENT));
        std::string out;
        encode_message(response, out, true);
        for (size_t done = 0; done < out.size();) {
            ssize_t n = ::write(fd, out.data() + done, out.size() - done);
            if (n <= 0)
                return false;
            done += size_t(n);
        }
        return true;
    }
    std::string directory_, path_;
    int listener_ = -1;
    std::thread thread_;
};

} // namespace

TEST(Session, asks_for_attributes)
{
    TinyBroker broker(0);
    Session flux(broker.uri());
    EXPECT_EQ(flux.attribute("size"), "7");
    EXPECT_EQ(flux.size(), 7u);
    EXPECT_FALSE(flux.find_attribute("nothing"));
    EXPECT_THROW(flux.attribute("nothing"), Error);
}

TEST(Session, carries_payloads_larger_than_the_sockets_buffer)
{
    TinyBroker broker(0);
    Session flux(broker.uri());
    std::string large(8u << 20, 'x');
    EXPECT_EQ(flux.rpc("echo", Json {{"data", large}}).get<std::string>("data").size(), large.size());
}

TEST(Session, fails_what_is_under_way_when_the_broker_goes_away)
{
    TinyBroker broker(0);
    Session flux(broker.uri());
    try {
        flux.rpc("drop");
        FAIL();
    } catch (const Error &error) {
        EXPECT_EQ(error.errnum(), ECONNRESET);
        EXPECT_NE(error.text().find(broker.path()), std::string::npos);
    }
}

TEST(Session, a_refusal_names_the_uri_and_what_to_do)
{
    struct Case {
        int errnum;
        const char *remedy;
    };
    for (auto [errnum, remedy] : {Case {EPERM, "allow-guest-user"}, Case {EUSERS, "try again"}}) {
        TinyBroker broker(static_cast<unsigned char>(errnum));
        Session flux(broker.uri());
        try {
            flux.connect();
            FAIL();
        } catch (const Error &error) {
            EXPECT_EQ(error.errnum(), errnum);
            EXPECT_TRUE(error.text().contains(broker.uri())) << error.text();
            EXPECT_TRUE(error.text().contains(remedy)) << error.text();
        }
    }
}

TEST(Session, a_broker_that_hangs_up_before_it_answers_is_named)
{
    TinyBroker broker(TinyBroker::hang_up);
    Session flux(broker.uri());
    try {
        flux.connect();
        FAIL();
    } catch (const Error &error) {
        EXPECT_EQ(error.errnum(), ECONNRESET);
        EXPECT_TRUE(error.text().contains(broker.uri())) << error.text();
        EXPECT_TRUE(error.text().contains("try again")) << error.text();
    }
}

TEST(Session, a_socket_where_nobody_listens_is_named_with_what_to_do)
{
    for (auto uri : {"local:///nowhere/at/all", "local:///dev/null"}) {
        try {
            Session(uri).connect();
            FAIL() << uri;
        } catch (const Error &error) {
            EXPECT_TRUE(error.text().contains(uri)) << error.text();
            EXPECT_TRUE(error.text().contains("FLUX_URI")) << error.text();
        }
    }
}

TEST(Session, says_what_to_do_without_an_instance)
{
    ::unsetenv("FLUX_URI");
    Session none;
    try {
        none.connect();
        FAIL();
    } catch (const Error &error) {
        EXPECT_NE(error.text().find("flux start"), std::string::npos);
    }
    EXPECT_THROW(Session("local:///nowhere/at/all").connect(), Error);
    EXPECT_THROW(Session("ssh://host/path").connect(), Error);
}
