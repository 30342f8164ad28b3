#include "worker/device_group.h"

#include "core/error.h"

namespace attune {

void start_together(DeviceGroup& devices, const TellLoss& tell_loss) {
    for (auto& device : devices)
        device->begin_target();
    DeviceGroup working;
    std::vector<std::string> losses;
    std::string first_reason;
    for (auto& device : devices) {
        try {
            (void)device->target();
            working.push_back(std::move(device));
        } catch (const EnvironmentError& error) {
            const std::string reason = error.what();
            if (losses.empty()) first_reason = reason;
            losses.push_back(reason.starts_with(device->label()) ? reason : device->label() + ": " + reason);
        }
    }
    if (working.empty()) throw EnvironmentError(first_reason);
    for (const std::string& loss : losses)
        tell_loss(loss);
    devices = std::move(working);
}

}  // namespace attune
