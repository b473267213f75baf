// What a text consists of, as views of it.
#pragma once
#include <string_view>
#include <vector>

namespace flux {

constexpr std::string_view blanks = " \t\n\r\v\f";

// The parts between separators, empty ones too. One at the end ends the last part; an empty text has none.
std::vector<std::string_view> split(std::string_view text, char separator);
// The parts that are not empty, between any of the separators.
std::vector<std::string_view> split_words(std::string_view text, std::string_view separators = blanks);
std::string_view trimmed(std::string_view text); // without blanks around it

} // namespace flux
