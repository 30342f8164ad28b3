// What the coordinator's helpers report to it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "core/measurement.h"
#include "core/outcome.h"
#include "loop/evaluate.h"
#include "loop/queue.h"

namespace attune {

/// Names one experiment on its way through compiling and measuring.
using Ticket = std::uint64_t;

struct Compiled {
    Ticket ticket;
    Result<Artifact> result;
    double elapsed_s;  ///< a failure has cost that much
};

struct Evaluated {
    Ticket ticket;
    std::size_t device;
    Evaluation evaluation;
};

/// A device has its suite open.
struct Opened {
    std::size_t device;
};

/// A device is gone; the experiment it held, if any, may go to another.
struct DeviceFailed {
    std::optional<Ticket> ticket;
    std::size_t device;
    std::string reason;
};

/// The file of the experiment's artifact, or of the incumbent's, has gone since it was compiled.
struct ArtifactLost {
    Ticket ticket;
    std::size_t device;
};

/// The environment is broken for every candidate: the study stops with these words.
struct EnvironmentBroken {
    std::string reason;
};

using Event = std::variant<Compiled, Opened, Evaluated, ArtifactLost, DeviceFailed, EnvironmentBroken>;
using EventQueue = Queue<Event>;

}  // namespace attune
