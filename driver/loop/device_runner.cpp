#include "loop/device_runner.h"

#include <exception>

#include "loop/thread.h"

namespace attune {

DeviceRunner::DeviceRunner(std::size_t index, std::unique_ptr<Device> device, std::unique_ptr<Evaluator> evaluator,
                           const Suite& suite, EventQueue& events)
    : index_(index),
      device_(std::move(device)),
      evaluator_(std::move(evaluator)),
      events_(events),
      thread_(start_thread([this, &suite] { work(suite); })) {}

DeviceRunner::~DeviceRunner() {
    interrupt();
    thread_.join();
}

void DeviceRunner::interrupt() {
    orders_.close();
    device_->interrupt();
}

void DeviceRunner::submit(Ticket ticket, Experiment experiment) {
    busy_ = true;
    orders_.push({ticket, std::move(experiment)});
}

void DeviceRunner::work(const Suite& suite) {
    try {
        device_->open_suite(suite);
        events_.push(Opened{index_});
    } catch (const std::exception& error) {
        events_.push(DeviceFailed{std::nullopt, index_, error.what()});
        return;
    }
    while (auto order = orders_.pop()) {
        try {
            events_.push(Evaluated{order->ticket, index_, evaluator_->evaluate(order->experiment)});
        } catch (const ArtifactMissing&) {
            events_.push(ArtifactLost{order->ticket, index_});
        } catch (const std::exception& error) {
            events_.push(DeviceFailed{order->ticket, index_, error.what()});
        }
    }
}

}  // namespace attune
