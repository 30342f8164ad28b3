#include "backend/cpu/host_facts.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string_view>

namespace attune::cpu {
namespace {

namespace fs = std::filesystem;

/// More than the caches of most machines, where the kernel does not describe them.
constexpr std::int64_t kUnknownCacheBytes = 128 << 20;

std::string read_word(const fs::path& file) {
    std::ifstream stream(file);
    std::string word;
    stream >> word;
    return word;
}

/// Sums every cache once, however many processors share it.
std::int64_t total_cache_bytes() {
    std::set<std::string> seen;
    std::int64_t total = 0;
    std::error_code error;
    for (const auto& cpu : fs::directory_iterator("/sys/devices/system/cpu", error)) {
        if (!fs::exists(cpu.path() / "cache", error)) continue;
        for (const auto& cache : fs::directory_iterator(cpu.path() / "cache", error)) {
            const std::string level = read_word(cache.path() / "level");
            if (level.empty() || level == "1" || read_word(cache.path() / "type") == "Instruction") continue;
            if (!seen.insert(level + ":" + read_word(cache.path() / "shared_cpu_list")).second) continue;
            total += std::atoll(read_word(cache.path() / "size").c_str()) * 1024;  // "32768K"
        }
    }
    return total > 0 ? total : kUnknownCacheBytes;
}

void read_cpuinfo(HostFacts& facts) {
    std::ifstream file("/proc/cpuinfo");
    std::string line;
    // One processor's paragraph: the first.
    while (std::getline(file, line) && !line.empty()) {
        const std::size_t colon = line.find(':');
        if (colon == std::string::npos) continue;
        const std::string_view key = std::string_view(line).substr(0, line.find_last_not_of(" \t", colon - 1) + 1);
        const std::string value = line.substr(std::min(line.size(), colon + 2));
        if (key == "model name") facts.cpu_model = value;
        if (key == "cpu MHz") facts.clock_mhz = static_cast<int>(std::lround(std::strtod(value.c_str(), nullptr)));
        for (const std::string_view part : {"model name", "cpu family", "model", "stepping", "flags", "Features",
                                            "CPU implementer", "CPU part", "CPU variant"}) {
            if (key == part) facts.cpu_identity += line + "\n";
        }
    }
}

}  // namespace

HostFacts read_host_facts() {
    HostFacts facts;
    read_cpuinfo(facts);
    utsname names{};
    if (uname(&names) == 0) {
        facts.kernel_release = names.release;
        facts.host = names.nodename;
        if (facts.cpu_model.empty()) facts.cpu_model = names.machine;
    }
    facts.cache_bytes = total_cache_bytes();
    facts.memory_bytes = std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE);
    return facts;
}

}  // namespace attune::cpu
