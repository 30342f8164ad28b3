#pragma once

#include <fmt/format.h>

#include <system_error>
#include <thread>
#include <utility>

#include "core/error.h"

namespace attune {

/// A thread that does `work`. EnvironmentError when the machine has no room for one.
template <class Work>
[[nodiscard]] std::jthread start_thread(Work work) {
    try {
        return std::jthread(std::move(work));
    } catch (const std::system_error& error) {
        throw EnvironmentError(fmt::format(
            "cannot start a thread: {}; raise the limits on processes and memory (ulimit -u, ulimit -v, ulimit -s)",
            error.code().message()));
    }
}

}  // namespace attune
