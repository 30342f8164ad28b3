// The record for reading: what commands, reports and exports see. Opens read-only, creates nothing, waits for nobody.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/record.h"
#include "core/target.h"
#include "core/template_spec.h"
#include "core/workload.h"
#include "store/store.h"

namespace attune {

/// Names one iteration of a database.
struct IterationKey {
    std::string study;
    std::string shard;  ///< uid
    std::int64_t iter = 0;
};

/// A run of a study into one database, and where it was. More than one only after `attune merge`.
struct ShardInfo {
    std::string uid;
    std::string host;
    std::string database;  ///< name of the file it was first written to
    std::string baseline;
    std::string strategy;
    std::uint64_t seed = 0;
    std::string
        space_json;  ///< {"parameters": [{name, values, default, meaning}], "constraints": [{require, because}]}
    std::string measure_json;  ///< MeasureSettings by field name
    std::int64_t iterations = 0;
};

struct StudyInfo {
    std::string name;
    std::string template_name;
    DeviceKind device = DeviceKind::cuda;
    Suite suite;
    std::vector<ShardInfo> shards;  ///< by uid

    [[nodiscard]] std::int64_t iterations() const;
};

/// One iteration in full: the record as it was finished (its artifact without a path), and its source bundle.
struct IterationDetail {
    IterationKey key;
    std::int64_t finished_us = 0;  ///< since 1970, UTC
    IterationRecord record;
    std::vector<SourceFile> sources;
};

/// What `best` looks for: the last kept iteration (of several shards the one with the lowest score); with `robust` the
/// last kept one that passes the stress draws, or one that does, has a lower score and has not lost to a robust
/// incumbent; with `family` the lowest time of that family among all correct ones.
struct BestRequest {
    std::string study;  ///< empty: every study
    bool robust = false;
    std::optional<Family> family;
};

/// A winner. Never compared across devices: one per study and device.
struct BestEntry {
    IterationKey key;
    std::string device_name;
    IterationRow row;
};

/// Of what Reader::best gave for one study, the winner among GPUs of the model `device_name`: of each shard's keeps the
/// latest counts, and of what is left the fastest wins. Null when there is none.
[[nodiscard]] const BestEntry* winner_of(const std::vector<BestEntry>& entries, const std::string& device_name,
                                         const BestRequest& request);

class Reader {
  public:
    /// InputError when there is no such file; EnvironmentError when it cannot be read or is of another version.
    explicit Reader(const std::filesystem::path& database);
    ~Reader();
    Reader(Reader&&) noexcept;
    Reader& operator=(Reader&&) noexcept;

    [[nodiscard]] const std::filesystem::path& path() const;

    [[nodiscard]] std::vector<StudyInfo> studies() const;  ///< by name
    /// InputError listing the studies when `name` is none of them, or empty while there are several.
    [[nodiscard]] StudyInfo study(const std::string& name) const;

    /// Calls `use` with every iteration of a study, by shard and number. InputError when there is no such study.
    void each_iteration(const std::string& study, const std::function<void(const IterationRow&)>& use) const;
    [[nodiscard]] std::vector<IterationRow> iterations(const std::string& study) const;

    /// Reads `N`, `STUDY:N` or `STUDY@SHARD:N` (SHARD: the beginning of a uid). What is left out must be the only one
    /// there is; `default_study` (may be empty) stands in for a missing STUDY. InputError says what to write instead.
    [[nodiscard]] IterationKey resolve(const std::string& text, const std::string& default_study = {}) const;
    /// InputError when there is no such iteration.
    [[nodiscard]] IterationDetail iteration(const IterationKey& key) const;
    /// The shortest text that `resolve` reads as `key`.
    [[nodiscard]] std::string short_name(const IterationKey& key) const;

    /// By study, then device name and UUID; empty when nothing qualifies. InputError for an unknown study.
    [[nodiscard]] std::vector<BestEntry> best(const BestRequest& request) const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace attune
