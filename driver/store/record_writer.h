// One iteration into its tables.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/record.h"
#include "core/template_spec.h"

namespace attune {

/// What an iteration belongs to.
struct IterationPlace {
    std::int64_t study_id = 0;
    std::int64_t shard_id = 0;
    std::int64_t iter = 0;
    std::int64_t finished_us = 0;
};

/// Text on one line of iters.tsv: tabs, line ends and other control characters become spaces.
[[nodiscard]] std::string one_line(std::string_view text);

/// Inserts iterations within the caller's transaction; statements are prepared once.
class RecordWriter {
  public:
    /// `case_positions`: position in the suite by case_id.
    RecordWriter(SQLite::Database& db, std::map<std::string, int> case_positions);

    void insert(const IterationRecord& record, const std::vector<SourceFile>& sources, const IterationPlace& place);

    /// The row of these facts, added when there is none.
    std::int64_t environment_id(const EnvironmentFacts& facts);
    /// The same for an edition; nothing when it is not known.
    std::optional<std::int64_t> edition_id(const std::string& template_hash);

  private:
    std::int64_t insert_iteration(const IterationRecord& record, const IterationPlace& place);
    void insert_detail(std::int64_t id, const IterationRecord& record, const std::vector<SourceFile>& sources);
    void insert_kernels(std::int64_t id, const Artifact& artifact);
    void insert_cases(std::int64_t id, const IterationRecord& record);
    void insert_stresses(std::int64_t id, const IterationRecord& record);

    std::int64_t build_id(const Artifact& artifact);
    std::int64_t content_id(const std::string& text);
    std::optional<std::int64_t> log_id(const std::string& log);
    std::optional<std::int64_t> source_id(const std::vector<SourceFile>& sources);
    [[nodiscard]] int position_of(const std::string& case_id) const;

    SQLite::Database& db_;
    std::map<std::string, int> case_positions_;
    SQLite::Statement iteration_, detail_, kernel_, case_, stress_;
    SQLite::Statement find_content_, add_content_, find_source_, add_source_, add_source_file_;
    SQLite::Statement find_environment_, add_environment_, find_edition_, add_edition_, find_build_, add_build_;
};

}  // namespace attune
