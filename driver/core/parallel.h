// A loop over all hardware threads, for work that is long against starting them.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace attune {

/// Calls `body(index)` for every index in [0, count), each once, in no order, from up to `threads` threads (0: one per
/// hardware thread). `body` must not throw.
template <class Body>
void parallel_for(std::int64_t count, const Body& body, unsigned threads = 0) {
    if (threads == 0) threads = std::max(1U, std::thread::hardware_concurrency());
    std::atomic<std::int64_t> next = 0;
    const auto work = [&] {
        for (std::int64_t index = next++; index < count; index = next++)
            body(index);
    };
    std::vector<std::jthread> helpers;
    for (unsigned i = 1; i < threads && i < count; ++i)
        helpers.emplace_back(work);
    work();
}

}  // namespace attune
