// Copies the rows of one attached database into another (merge.h says what merging means).
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/merge.h"

namespace attune {

/// One shard of an input, and how much of it either side holds.
struct ShardPair {
    std::string study;
    std::string uid;
    std::int64_t from_study_id = 0, from_shard_id = 0, from_count = 0;
    std::int64_t into_study_id = 0, into_shard_id = 0, into_count = 0;
};

/// Copies the database attached as `schema` into main, within the caller's transaction.
class Merger {
  public:
    /// `from` and `into` are the files' names for messages.
    Merger(SQLite::Database& db, std::string schema, std::filesystem::path from, std::filesystem::path into)
        : db_(db), schema_(std::move(schema)), from_(std::move(from)), into_(std::move(into)) {}

    [[nodiscard]] MergeSummary run();

  private:
    /// SQL in which `from.` stands for the attached schema, made to name it.
    [[nodiscard]] std::string here(std::string sql) const;
    void exec(std::string sql) { db_.exec(here(std::move(sql))); }
    [[nodiscard]] std::optional<std::string> first_text(std::string sql);
    [[noreturn]] void conflict(const std::string& what, const std::string& advice) const;

    void copy_studies();
    void copy_shards();
    void copy_shared_rows();
    void copy_shared(std::string_view table, std::string_view key, std::string_view columns);
    [[nodiscard]] std::vector<ShardPair> shards();
    void require_same_history(const ShardPair& shard);
    void copy_iterations(const ShardPair& shard);
    void copy_results(std::string_view table, const std::string& id, const std::string& which);

    SQLite::Database& db_;
    std::string schema_;
    std::filesystem::path from_;
    std::filesystem::path into_;
};

}  // namespace attune
