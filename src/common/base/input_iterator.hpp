// InputIterator: what iterators have in common that make the values they yield. One derives from it, has
// operator* and the pre-increment, and says `using InputIterator::operator++`.
#pragma once
#include <cstddef>
#include <iterator>

namespace flux {

template <class Derived, class Value>
class InputIterator {
public:
    using value_type = Value;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;
    using pointer = const Value *;
    using reference = Value;
    Derived operator++(int)
    {
        auto &self = static_cast<Derived &>(*this);
        Derived old = self;
        ++self;
        return old;
    }
    friend bool operator==(const InputIterator &, const InputIterator &) = default;
};

} // namespace flux
