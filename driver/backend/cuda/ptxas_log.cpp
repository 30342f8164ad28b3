#include "backend/cuda/ptxas_log.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace attune::cuda {
namespace {

/// Diagnostics of a kernel that runs, but slowly: setmaxnreg ignored (C7504, C7505, C7508), wgmma serialised (the
/// rest).
constexpr std::array<std::string_view, 8> kSlowCodes{"C7504", "C7505", "C7508", "C7509",
                                                     "C7512", "C7514", "C7517", "C7520"};
/// Says that a wgmma wait was inserted; costs nothing by itself.
constexpr std::string_view kInformational = "C7519";

bool contains(std::string_view line, std::string_view part) {
    return line.find(part) != std::string_view::npos;
}

bool means_slow(std::string_view line) {
    if (contains(line, kInformational)) return false;
    return contains(line, "Potential Performance Loss") ||
           std::ranges::any_of(kSlowCodes, [&](std::string_view code) { return contains(line, code); });
}

/// The number directly before `unit`: number_before("8 bytes stack frame", " bytes stack") is 8.
std::optional<int> number_before(std::string_view line, std::string_view unit) {
    const std::size_t end = line.find(unit);
    if (end == std::string_view::npos) return std::nullopt;
    std::size_t begin = end;
    while (begin > 0 && line[begin - 1] >= '0' && line[begin - 1] <= '9')
        --begin;
    int number = 0;
    if (std::from_chars(line.data() + begin, line.data() + end, number).ec != std::errc()) return std::nullopt;
    return number;
}

void add(int& total, std::optional<int> part) {
    if (part) total = std::max(total, 0) + *part;
}

void read_line(std::string_view line, std::vector<KernelResources>& kernels) {
    constexpr std::string_view kEntry = "Compiling entry function '";
    if (const std::size_t at = line.find(kEntry); at != std::string_view::npos) {
        const std::string_view rest = line.substr(at + kEntry.size());
        KernelResources kernel;
        kernel.entry = rest.substr(0, rest.find('\''));
        kernel.shared_bytes = 0;  // not mentioned when there is none
        kernels.push_back(std::move(kernel));
        return;
    }
    if (kernels.empty()) return;
    KernelResources& kernel = kernels.back();
    // Functions that were not inlined follow the kernel that calls them, with frames and spills of their own.
    add(kernel.stack_bytes, number_before(line, " bytes stack frame"));
    add(kernel.spill_store_bytes, number_before(line, " bytes spill stores"));
    add(kernel.spill_load_bytes, number_before(line, " bytes spill loads"));
    if (const auto registers = number_before(line, " registers")) kernel.registers = *registers;
    if (const auto shared = number_before(line, " bytes smem")) kernel.shared_bytes = *shared;
}

}  // namespace

PtxasReport parse_ptxas_log(std::string_view log) {
    PtxasReport report;
    while (!log.empty()) {
        const std::size_t end = std::min(log.find('\n'), log.size());
        const std::string_view line = log.substr(0, end);
        report.performance_warning = report.performance_warning || means_slow(line);
        // A candidate's own words ("#pragma message") must not pass for ptxas's.
        if (line.starts_with("ptxas")) read_line(line, report.kernels);
        log.remove_prefix(std::min(end + 1, log.size()));
    }
    return report;
}

}  // namespace attune::cuda
