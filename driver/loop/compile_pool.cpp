#include "loop/compile_pool.h"

#include <chrono>
#include <exception>

#include "loop/thread.h"

namespace attune {

// Delegates, so that the destructor ends the first threads when a later one cannot be started.
CompilePool::CompilePool(int workers, const std::function<std::unique_ptr<Compiler>()>& make, EventQueue& events)
    : CompilePool(events) {
    for (int i = 0; i < workers; ++i)
        compilers_.push_back(make());
    for (auto& compiler : compilers_) {
        threads_.push_back(start_thread([this, &compiler = *compiler] { work(compiler); }));
    }
}

CompilePool::~CompilePool() {
    orders_.close();
    for (auto& compiler : compilers_)
        compiler->interrupt();
    threads_.clear();
}

void CompilePool::submit(Ticket ticket, CompileJob job) {
    orders_.push({ticket, std::move(job)});
}

void CompilePool::work(Compiler& compiler) {
    while (auto order = orders_.pop()) {
        try {
            const auto started = std::chrono::steady_clock::now();
            Result<Artifact> result = compiler.compile(order->job);
            const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started;
            events_.push(Compiled{order->ticket, std::move(result), elapsed.count()});
        } catch (const std::exception& error) {
            events_.push(EnvironmentBroken{error.what()});
        }
    }
}

}  // namespace attune
