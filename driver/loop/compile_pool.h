// Compiles ahead of the devices, so that they never wait while candidates are known.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "backend/backend.h"
#include "loop/events.h"

namespace attune {

/// A fixed number of threads, each driving one compiler (normally a child process). Jobs start in the order given.
class CompilePool {
  public:
    /// EnvironmentError when the machine has no room for the threads.
    CompilePool(int workers, const std::function<std::unique_ptr<Compiler>()>& make, EventQueue& events);
    /// Interrupts what is in flight and joins.
    ~CompilePool();
    CompilePool(const CompilePool&) = delete;
    CompilePool& operator=(const CompilePool&) = delete;

    /// The answer arrives as a Compiled event.
    void submit(Ticket ticket, CompileJob job);

  private:
    struct Order {
        Ticket ticket;
        CompileJob job;
    };
    explicit CompilePool(EventQueue& events) : events_(events) {}
    void work(Compiler& compiler);

    EventQueue& events_;
    Queue<Order> orders_;
    std::vector<std::unique_ptr<Compiler>> compilers_;
    std::vector<std::jthread> threads_;
};

}  // namespace attune
