// The files a jobspec carries, put into a directory.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "shell/files.hpp"

using namespace flux;
using namespace flux::shell;

namespace {

class Files : public testing::Test {
protected:
    Files()
    {
        char name[] = "/tmp/flux-test-XXXXXX";
        directory_ = ::mkdtemp(name);
    }
    ~Files() override { std::filesystem::remove_all(directory_); }
    std::string read(const std::string &name) const
    {
        std::ifstream in(directory_ + "/" + name);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    void extract(std::string_view json) { extract_files(Json::parse_or_throw(json), directory_); }
    std::string directory_;
};

} // namespace

TEST_F(Files, of_every_encoding_are_written)
{
    extract(R"({"script":{"mode":33216,"size":3,"encoding":"utf-8","data":"hi\n"},
                "bytes":{"mode":33152,"encoding":"base64","data":"/wA="},
                "empty":{"mode":33152,"size":0},
                "conf.json":{"mode":33152,"data":{"a":1}},
                "in/a/place":{"mode":33152,"encoding":"utf-8","data":"x"},
                "link":{"mode":41471,"data":"script"},
                "dir":{"mode":16877}})");
    EXPECT_EQ(read("script"), "hi\n");
    EXPECT_EQ(read("bytes"), std::string("\xff\0", 2));
    EXPECT_EQ(read("empty"), "");
    EXPECT_EQ(read("conf.json"), "{\"a\":1}\n");
    EXPECT_EQ(read("in/a/place"), "x");
    EXPECT_EQ(read("link"), "hi\n");
    EXPECT_TRUE(std::filesystem::is_directory(directory_ + "/dir"));
    struct stat status {};
    ASSERT_EQ(::stat((directory_ + "/script").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0700u);
}

TEST_F(Files, stay_in_their_directory)
{
    for (const char *name : {"../out", "/tmp/flux-test-out", "a/../../out", "", "."})
        EXPECT_THROW(extract(fmt::format(R"({{"{}":{{"mode":33152,"encoding":"utf-8","data":"x"}}}})", name)),
                     Error)
            << name;
    EXPECT_THROW(extract(R"({"a":{"mode":33152,"encoding":"blobvec","data":[]}})"), Error);
    EXPECT_THROW(extract(R"({"a":{"mode":33152,"encoding":"base64","data":"%"}})"), Error);
    EXPECT_THROW(extract(R"({"a":{"mode":4480}})"), Error);
}
