#include "cli/signals.h"

#include <signal.h>

namespace attune {
namespace {

// A handler can reach nothing but a global; this is the program's only one.
std::atomic<bool> stop_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may not take a lock");

extern "C" void request_stop(int signal_number) {
    stop_requested = true;
    ::signal(signal_number, SIG_DFL);
}

}  // namespace

StopSignals::StopSignals() {
    stop_requested = false;
    ::signal(SIGINT, request_stop);
    ::signal(SIGTERM, request_stop);
}

StopSignals::~StopSignals() {
    ::signal(SIGINT, SIG_DFL);
    ::signal(SIGTERM, SIG_DFL);
}

const std::atomic<bool>& StopSignals::flag() const { return stop_requested; }

}  // namespace attune
