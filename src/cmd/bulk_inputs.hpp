// The inputs of flux bulksubmit: lists of words, combined, and the fields of a template that they replace:
// "{}", "{1}",
// "{.%}", "{0./}", "{seq}". Values only: nothing is read here.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/base/error.hpp"

namespace flux::cmd {

struct InputList {
    std::vector<std::string> words;
    bool linked = false; // its words go along with those of the list before, instead of with all of them
};

// Every combination, the last list running fastest; a linked list is cycled through if it is the shorter one.
class InputCombinations {
public:
    explicit InputCombinations(std::vector<InputList> lists); // UsageError: the first is linked
    size_t size() const { return size_; }                     // SIZE_MAX: too many to be counted
    std::vector<std::string> at(size_t number) const;

private:
    std::vector<InputList> lists_;
    size_t size_ = 1;
};

// What a template's fields stand for in one combination.
struct Replacements {
    std::vector<std::string> inputs;
    size_t seq = 0;
    bool keep_cc = false; // "{cc}" stays, to be replaced later; else it becomes nothing
    // Further attributes, "{.NAME}": NAME and an input give the text.
    std::map<std::string, std::function<std::string(const std::string &)>> defined {};
};
// As Python's str.format() does: "{{" and "}}" are braces. UsageError on a field that there is not.
std::string fill_in(const std::string &text, const Replacements &with);

// The words of standard input or of a file: its lines, or what `separator` parts ("none": blanks).
std::vector<std::string> split_inputs(const std::string &text, const std::string &separator);

} // namespace flux::cmd
