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
    for (const int number : {SIGINT, SIGTERM})
        ::signal(number, request_stop);
    // A closed terminal is a request to stop too, except under nohup, which has it ignored.
    if (::signal(SIGHUP, request_stop) == SIG_IGN) ::signal(SIGHUP, SIG_IGN);
    // Whoever reads the progress may leave; the night goes on without being watched.
    ::signal(SIGPIPE, SIG_IGN);
}

StopSignals::~StopSignals() {
    for (const int number : {SIGINT, SIGTERM, SIGPIPE})
        ::signal(number, SIG_DFL);
    if (::signal(SIGHUP, SIG_DFL) == SIG_IGN) ::signal(SIGHUP, SIG_IGN);
}

const std::atomic<bool>& StopSignals::flag() const {
    return stop_requested;
}

}  // namespace attune
