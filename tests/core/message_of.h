// What an error says.
#pragma once

#include <string>

namespace attune {

/// The message of the `Error` that `work` throws.
template <class Error, class Work>
std::string message_of(Work&& work) {
    try {
        work();
    } catch (const Error& error) {
        return error.what();
    }
    return "(nothing thrown)";
}

}  // namespace attune
