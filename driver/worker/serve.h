// The worker's side of the channel: a loop that answers requests until the coordinator is gone.
#pragma once

#include <functional>
#include <memory>

#include "backend/backend.h"
#include "worker/channel.h"

namespace attune {

/// What a device worker serves; `poisoned` says that the process must be replaced after a failure.
struct ServedDevice {
    std::unique_ptr<Device> device;
    std::function<bool()> poisoned;
};

/// Answers compile jobs until the channel closes.
void serve_compiler(Channel channel, const std::function<std::unique_ptr<Compiler>()>& make);

/// Answers device requests until the channel closes. The device is made at the first request, so that its failure to
/// start is an answer with a reason.
void serve_device(Channel channel, const std::function<ServedDevice()>& make);

}  // namespace attune
