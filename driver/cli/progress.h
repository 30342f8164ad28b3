// The live line of a sweep on a terminal, plain lines everywhere else.
#pragma once

#include <ostream>

#include "loop/coordinator.h"

namespace attune {

class ProgressPrinter : public LoopObserver {
  public:
    /// `live`: `out` is a terminal, so the last line is rewritten in place.
    ProgressPrinter(std::ostream& out, bool live) : out_(out), live_(live) {}
    ~ProgressPrinter() override;

    void on_iteration(std::int64_t iter, const IterationRecord& record, const LoopProgress& progress) override;
    void on_tick(const LoopProgress& progress) override;
    void on_message(const std::string& message) override;

  private:
    void print_line(const std::string& line);
    std::ostream& out_;
    bool live_;
    bool line_open_ = false;  ///< the live line is on screen
    double last_tick_s_ = -1.0;
};

}  // namespace attune
