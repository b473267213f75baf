#include "cmd/bulk_inputs.hpp"

#include <charconv>
#include <limits>

#include "cmd/command.hpp"

namespace flux::cmd {

InputCombinations::InputCombinations(std::vector<InputList> lists) : lists_(std::move(lists))
{
    if (!lists_.empty() && lists_[0].linked)
        throw UsageError(
            "the first list of inputs has none before it to be linked with: use ::: instead of :::+");
    for (const auto &list : lists_) {
        if (list.linked && list.words.empty())
            throw UsageError("a linked list of inputs is empty");
        if (list.linked)
            continue;
        if (!list.words.empty() && size_ > std::numeric_limits<size_t>::max() / list.words.size())
            throw UsageError("these are more combinations of inputs than can be counted");
        size_ *= list.words.size();
    }
}

std::vector<std::string> InputCombinations::at(size_t number) const
{
    std::vector<size_t> index(lists_.size()); // of each list that is not linked
    for (size_t i = lists_.size(); i-- > 0;)
        if (!lists_[i].linked) {
            index[i] = number % lists_[i].words.size();
            number /= lists_[i].words.size();
        }
    std::vector<std::string> out;
    size_t leader = 0;
    for (size_t i = 0; i < lists_.size(); i++) {
        if (!lists_[i].linked)
            leader = index[i];
        out.push_back(lists_[i].words[leader % lists_[i].words.size()]);
    }
    return out;
}

namespace {

std::string base_of(const std::string &path)
{
    return path.substr(path.rfind('/') + 1);
}

std::string directory_of(const std::string &path)
{
    size_t slash = path.rfind('/');
    return slash == path.npos ? std::string() : path.substr(0, std::max<size_t>(slash, 1));
}

// A name that begins with a dot has that instead of an extension.
std::string without_extension(const std::string &path)
{
    size_t begin = path.size() - base_of(path).size();
    size_t dot = path.rfind('.');
    return dot == path.npos || dot <= begin ? path : path.substr(0, dot);
}

std::string attribute_of(const std::string &input, const std::string &name, const std::string &field,
                         const Replacements &with)
{
    if (name == "%")
        return without_extension(input);
    if (name == "/")
        return base_of(input);
    if (name == "/%")
        return without_extension(base_of(input));
    if (name == "//")
        return directory_of(input);
    if (auto defined = with.defined.find(name); defined != with.defined.end())
        return defined->second(input);
    throw UsageError(fmt::format(
        "{{{}}}: there is no attribute .{}; these are .%, ./, ./%, .//, and those of --define", field, name));
}

std::string field_value(const std::string &field, size_t &next, const Replacements &with)
{
    if (field == "seq")
        return fmt::format("{}", with.seq);
    if (field == "seq1")
        return fmt::format("{}", with.seq + 1);
    if (field == "cc")
        return with.keep_cc ? "{cc}" : "";
    size_t dot = std::min(field.find('.'), field.size());
    size_t index = 0;
    if (dot == 0) {
        index = next++;
    } else {
        auto [end, error] = std::from_chars(field.data(), field.data() + dot, index);
        if (error != std::errc() || end != field.data() + dot)
            throw UsageError(
                fmt::format("{{{}}} is no field: use {{}}, the number of an input like {{0}}, {{seq}}, "
                            "{{seq1}} or {{cc}}; a brace itself is {{{{ or }}}}",
                            field));
    }
    if (index >= with.inputs.size())
        throw UsageError(
            fmt::format("{{{}}}: there is no input {}: there are {}", field, index, with.inputs.size()));
    if (dot == field.size())
        return with.inputs[index];
    return attribute_of(with.inputs[index], field.substr(dot + 1), field, with);
}

} // namespace

std::string fill_in(const std::string &text, const Replacements &with)
{
    std::string out;
    size_t next = 0; // the input of the next field without a number
    for (size_t at = 0; at < text.size(); at++) {
        char c = text[at];
        bool doubled = at + 1 < text.size() && text[at + 1] == c;
        if ((c == '{' || c == '}') && doubled) {
            out += c;
            at++;
        } else if (c == '{') {
            size_t close = text.find('}', at);
            if (close == text.npos)
                throw UsageError(fmt::format("'{}': a brace is not closed; a brace itself is {{{{", text));
            out += field_value(text.substr(at + 1, close - at - 1), next, with);
            at = close;
        } else if (c == '}') {
            throw UsageError(
                fmt::format("'{}': a brace is closed that is not open; a brace itself is }}}}", text));
        } else {
            out += c;
        }
    }
    return out;
}

std::vector<std::string> split_inputs(const std::string &text, const std::string &separator)
{
    std::vector<std::string> out;
    if (separator == "none") {
        for (size_t at = 0; (at = text.find_first_not_of(" \t\r\n", at)) != text.npos;) {
            size_t end = std::min(text.find_first_of(" \t\r\n", at), text.size());
            out.push_back(text.substr(at, end - at));
            at = end;
        }
        return out;
    }
    std::string whole = text.substr(0, text.ends_with('\n') ? text.size() - 1 : text.size());
    for (size_t at = 0; at <= whole.size() && !whole.empty();) {
        size_t end = std::min(whole.find(separator, at), whole.size());
        out.push_back(whole.substr(at, end - at));
        at = end + separator.size();
    }
    return out;
}

} // namespace flux::cmd
