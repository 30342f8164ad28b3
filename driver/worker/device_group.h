// The devices of one machine: all are started before any is waited for.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "worker/remote.h"

namespace attune {

using DeviceGroup = std::vector<std::unique_ptr<RemoteDevice>>;
/// Hears which device is out, and why.
using TellLoss = std::function<void(const std::string& reason)>;

/// Starts the workers and makes each device take hold of its hardware. One that fails is told of and leaves the group;
/// EnvironmentError with the first's reason when none is left.
void start_together(DeviceGroup& devices, const TellLoss& tell_loss);

}  // namespace attune
