#pragma once

#include <chrono>

#include "worker/channel.h"

namespace attune {

/// Long enough for a crashing process to finish dying, so that its own signal is reported.
inline constexpr std::chrono::milliseconds kDyingGrace{500};
inline constexpr std::chrono::milliseconds kNoGrace{0};

[[nodiscard]] inline Channel::Clock::time_point deadline_after(double seconds) {
    return Channel::Clock::now() +
           std::chrono::duration_cast<Channel::Clock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace attune
