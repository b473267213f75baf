// Output: what tasks write, in lines, to the channel or to files.
#pragma once
#include <map>
#include <string>

#include "shell/channel.hpp"
#include "shell/job.hpp"

namespace flux::shell {

class Output {
public:
    static constexpr size_t max_line = 64 * 1024; // bytes held back for want of a newline

    Output(const Job &job, ShellChannel &channel) : job_(job), channel_(channel) {}
    ~Output();
    Output(const Output &) = delete;

    // Opens files and announces them. Throws Error that names the file that cannot be opened.
    void open();
    // Empty bytes are the stream's end.
    void add(uint32_t task, std::string_view stream, std::string_view bytes);
    bool goes_to_channel(uint32_t task, std::string_view stream) const;

private:
    struct Stream {
        const StreamOptions *options;
        std::string name;
        std::string held;
        int fd = -1; // -1: the channel
        uint64_t sent = 0;
        bool truncated = false;
    };
    int open_file(const StreamOptions &options, const std::string &stream, uint32_t task, std::string &path);
    void emit(uint32_t task, Stream &stream, std::string_view bytes, bool eof);
    void write_file(uint32_t task, Stream &stream, std::string_view bytes);

    const Job &job_;
    ShellChannel &channel_;
    std::map<std::string, int> files_; // by path
    std::map<std::pair<uint32_t, std::string>, Stream, std::less<>> streams_;
};

} // namespace flux::shell
