// What the fuzz targets share. A target feeds bytes to a reader of ours; the only way out besides success is
// InputError.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "core/error.h"

namespace attune::fuzz {

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

/// A property that every input must keep.
inline void require(bool holds, const char* property) {
    if (holds) return;
    std::cerr << "broken: " << property << '\n';
    std::abort();
}

/// Calls `read`; bad input is answered by an InputError of one line that says something.
template <class Read>
void expect_one_line_errors(Read&& read) {
    try {
        read();
    } catch (const InputError& error) {
        const std::string_view what = error.what();
        require(!what.empty() && what.find('\n') == std::string_view::npos, "an error is one line");
    }
}

}  // namespace attune::fuzz
