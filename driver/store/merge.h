// Joining databases of shards.
//
// An iteration is known by (study, shard, iter) wherever it is copied to, and the iterations of a shard have no gap. So
// a database holds of each shard the first n, merging takes the longer of two, and the result depends neither on the
// order of merges nor on how often they are repeated. Nothing is renumbered.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace attune {

/// SQLite attaches no more files to one connection.
inline constexpr std::size_t kMaxMergeInputs = 10;

struct MergeSummary {
    std::int64_t added = 0;    ///< iterations of this input that were not there yet
    std::int64_t present = 0;  ///< iterations of this input that were
};

/// Adds `inputs` to `into` (created when missing), all in one transaction; inputs may be in use by a writer. Memory
/// does not grow with the number of iterations. One summary an input. InputError, and nothing is written, when an input
/// is missing or `into` itself, when two databases give one study different cases, templates or devices, or when two
/// copies of one shard went separate ways. EnvironmentError when a file cannot be read or written, is of another
/// version, or `into` is in use.
[[nodiscard]] std::vector<MergeSummary> merge_databases(std::span<const std::filesystem::path> inputs,
                                                        const std::filesystem::path& into);

/// What a person should know of a merged database: studies measured on several devices.
[[nodiscard]] std::vector<std::string> merge_remarks(const std::filesystem::path& database);

}  // namespace attune
