// One thread per device, so that devices measure side by side while the coordinator decides and records.
#pragma once

#include <memory>
#include <thread>

#include "backend/backend.h"
#include "loop/evaluate.h"
#include "loop/events.h"

namespace attune {

/// Drives one device. Opens the suite on it, which arrives as an event; then holds at most one experiment at a time,
/// whose evaluation arrives as one.
class DeviceRunner {
  public:
    /// `index` is the device's place in events.
    DeviceRunner(std::size_t index, std::unique_ptr<Device> device, std::unique_ptr<Evaluator> evaluator,
                 const Suite& suite, EventQueue& events);
    /// Interrupts what is in flight and joins.
    ~DeviceRunner();
    DeviceRunner(const DeviceRunner&) = delete;
    DeviceRunner& operator=(const DeviceRunner&) = delete;

    [[nodiscard]] bool idle() const { return !busy_ && !lost_; }
    [[nodiscard]] bool lost() const { return lost_; }
    /// Starts an experiment; only when idle.
    void submit(Ticket ticket, Experiment experiment);
    /// The coordinator has seen the event of the last experiment, or of the opening.
    void release() { busy_ = false; }
    /// Ends what is in flight, and the device for good. What remains for the destructor takes its time, because a
    /// device's process does, so several runners are interrupted first and destroyed then.
    void interrupt();
    /// No more experiments: the device cannot be brought back.
    void retire() { lost_ = true; }

  private:
    struct Order {
        Ticket ticket;
        Experiment experiment;
    };
    void work(const Suite& suite);

    std::size_t index_;
    std::unique_ptr<Device> device_;
    std::unique_ptr<Evaluator> evaluator_;
    EventQueue& events_;
    Queue<Order> orders_;
    bool busy_ = true;
    bool lost_ = false;
    std::jthread thread_;
};

}  // namespace attune
