#include <gtest/gtest.h>

#include <random>

#include "common/base/encoding.hpp"
#include "common/message/codec.hpp"

using namespace flux;

namespace {

std::string encoded(const Message &message, bool framed = false)
{
    std::string out;
    encode_message(message, out, framed);
    return out;
}

Message attr_get()
{
    auto message = Message::request("attr.get", Json {{"name", "size"}});
    message.credentials = {userid_unknown, role::none};
    message.matchtag = 1;
    return message;
}

} // namespace

TEST(Codec, ARequestIsBitForBitWhatAReferenceClientSends)
{
    EXPECT_EQ(hex_encode(encoded(attr_get(), true)),
              "1200eeff" "00000030" "00" "08" + hex_encode("attr.get") + "10" + hex_encode("{\"name\":\"size\"}") + "00"
              "14" "8e01010b" "ffffffff" "00000000" "ffffffff" "00000001");
}

TEST(Codec, AResponseCopiesRouteTopicAndMatchtag)
{
    auto request = attr_get();
    request.route = {RouteId("a"), RouteId("bb")};
    auto response = Message::response_to(request, Json {{"value", "1"}});
    auto back = decode_message(encoded(response));
    ASSERT_TRUE(back) << back.error().text();
    EXPECT_EQ(back->type, MessageType::response);
    EXPECT_EQ(back->matchtag, 1u);
    EXPECT_EQ(back->errnum, 0u);
    ASSERT_EQ(back->route.size(), 2u);
    EXPECT_EQ(back->route.back().text(), "bb");
    EXPECT_EQ(back->json().get<std::string>("value"), "1");
}

TEST(Codec, ALongPartHasALongLength)
{
    auto message = Message::event("e", Payload::raw(std::string(300, 'x')));
    auto back = decode_message(encoded(message));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->payload.bytes().size(), 300u);
    EXPECT_THROW(back->json(), Error);
}

TEST(Codec, AStreamIsCutIntoMessagesWhereverItIsTorn)
{
    std::string stream = encoded(attr_get(), true) + encoded(Message::event("hb", Json {{"n", 1}}), true);
    for (size_t cut = 0; cut <= stream.size(); cut++) {
        FrameReader reader;
        std::string topics;
        auto drain = [&] {
            for (;;) {
                auto next = reader.next();
                ASSERT_TRUE(next) << next.error().text();
                if (!*next)
                    return;
                topics += (*next)->topic + ";";
            }
        };
        reader.append(std::string_view(stream).substr(0, cut));
        drain();
        reader.append(std::string_view(stream).substr(cut));
        drain();
        EXPECT_EQ(topics, "attr.get;hb;");
    }
}

TEST(Codec, AStreamThatIsNotFluxOrTooLargeIsRefused)
{
    FrameReader http, huge;
    http.append("GET / HTTP/1.1\r\n");
    EXPECT_FALSE(http.next());
    huge.append(std::string("\x12\x00\xee\xff\xff\xff\xff\xff", 8));
    EXPECT_FALSE(huge.next());
}

// Whatever arrives either decodes to a message that encodes to something that decodes to the same, or is refused.
TEST(Codec, MutatedMessagesNeverDoHarm)
{
    std::mt19937 random(7);
    auto request = attr_get();
    request.route = {RouteId("eb376a45-0000-4000-8000-000000000000"), RouteId("x")};
    const std::string valid = encoded(request);
    for (int i = 0; i < 50'000; i++) {
        std::string bytes = valid;
        for (auto n = random() % 4 + 1; n > 0; n--)
            bytes[random() % bytes.size()] = char(random());
        if (random() % 4 == 0)
            bytes.resize(random() % (bytes.size() + 1));
        auto message = decode_message(bytes);
        if (!message)
            continue;
        auto again = decode_message(encoded(*message));
        ASSERT_TRUE(again);
        EXPECT_EQ(encoded(*again), encoded(*message));
    }
}
