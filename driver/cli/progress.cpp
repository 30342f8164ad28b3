#include "cli/progress.h"

#include <fmt/format.h>

namespace attune {
namespace {

constexpr double kSecondsBetweenTicks = 0.2;

std::string duration(double seconds) {
    const auto whole = static_cast<std::int64_t>(seconds);
    if (whole >= 3600) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
    if (whole >= 60) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
    return fmt::format("{}s", whole);
}

std::string score(const std::optional<double>& ms) {
    return ms ? fmt::format("{:.4f} ms", *ms) : "-";
}

}  // namespace

ProgressPrinter::~ProgressPrinter() {
    if (line_open_) out_ << '\n' << std::flush;
}

void ProgressPrinter::print_line(const std::string& line) {
    if (line_open_) out_ << "\r\033[K";
    line_open_ = false;
    out_ << line << '\n' << std::flush;
}

void ProgressPrinter::on_iteration(std::int64_t iter, const IterationRecord& record, const LoopProgress&) {
    const std::string delta = record.delta_ms ? fmt::format("{:+.4f}", *record.delta_ms) : "-";
    print_line(fmt::format("{:>5}  {:<7}  {:>11}  {:>8}  {}", iter, to_string(record.status), score(record.geomean_ms),
                           delta, record.description));
}

void ProgressPrinter::on_tick(const LoopProgress& progress) {
    if (!live_ || progress.elapsed_s - last_tick_s_ < kSecondsBetweenTicks) return;
    last_tick_s_ = progress.elapsed_s;
    const double rate = progress.elapsed_s > 0 ? static_cast<double>(progress.recorded) / progress.elapsed_s : 0.0;
    std::string left;
    if (progress.left && rate > 0)
        left = fmt::format(", {} left", duration(static_cast<double>(*progress.left) / rate));
    // Not wrapped at the edge of a narrow terminal: \r leads back to the beginning of the last row alone.
    out_ << fmt::format("\r\033[K\033[?7l{} done, best {}, {:.2f}/s, {} compiling, {} measuring, {} elapsed{}\033[?7h",
                        progress.recorded, score(progress.best_ms), rate, progress.compiling, progress.measuring,
                        duration(progress.elapsed_s), left)
         << std::flush;
    line_open_ = true;
}

void ProgressPrinter::on_message(const std::string& message) {
    print_line(message);
}

}  // namespace attune
