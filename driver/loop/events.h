// What the coordinator's helpers report to it.
#pragma once

#include <cstdint>
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
};

struct Evaluated {
    Ticket ticket;
    std::size_t device;
    Evaluation evaluation;
};

/// A device is gone; the experiment it held may go to another.
struct DeviceFailed {
    Ticket ticket;
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

using Event = std::variant<Compiled, Evaluated, ArtifactLost, DeviceFailed, EnvironmentBroken>;
using EventQueue = Queue<Event>;

}  // namespace attune
