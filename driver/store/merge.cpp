#include "store/merge.h"

#include <fmt/format.h>

#include <optional>

#include "core/error.h"
#include "store/database.h"
#include "store/merger.h"

namespace attune {
namespace {

/// Drops the secondary indexes of the large table and builds them again by sorting, which costs a fraction of inserting
/// into each at random. Worth it when a merge brings more than there was.
class IndexRebuild {
  public:
    explicit IndexRebuild(SQLite::Database& db) : db_(db) {
        SQLite::Statement select(
            db,
            "SELECT name, sql FROM main.sqlite_schema WHERE type = 'index' AND tbl_name = 'iteration' "
            "AND sql IS NOT NULL ORDER BY rowid");
        std::vector<std::string> names;
        while (select.executeStep()) {
            names.push_back(select.getColumn(0).getString());
            definitions_.push_back(select.getColumn(1).getString());
        }
        select.reset();
        for (const std::string& name : names)
            db.exec(fmt::format("DROP INDEX main.{}", name));
    }
    void build() {
        for (const std::string& definition : definitions_)
            db_.exec(definition);
    }

  private:
    SQLite::Database& db_;
    std::vector<std::string> definitions_;
};

bool brings_more_than_there_is(SQLite::Database& db, std::size_t inputs) {
    const auto count = [&](const std::string& schema) {
        return db.execAndGet(fmt::format("SELECT coalesce(max(id), 0) FROM {}.iteration", schema)).getInt64();
    };
    std::int64_t coming = 0;
    for (std::size_t i = 0; i < inputs; ++i)
        coming += count(fmt::format("input{}", i));
    return coming > count("main");
}

void require_inputs(std::span<const std::filesystem::path> inputs, const std::filesystem::path& into) {
    if (inputs.size() > kMaxMergeInputs) {
        throw InputError(fmt::format("{} databases are too many for one merge; merge {} at a time into the same file",
                                     inputs.size(), kMaxMergeInputs));
    }
    for (const std::filesystem::path& input : inputs) {
        (void)open_for_reading(input);  // says what is wrong with it
        std::error_code ignored;
        if (std::filesystem::equivalent(input, into, ignored)) {
            throw InputError(
                fmt::format("--into {} is one of the databases to merge; leave it out of the list, what it "
                            "holds is kept",
                            into.string()));
        }
    }
}

/// Takes a file that a failed merge has created away again.
class FreshFile {
  public:
    explicit FreshFile(const std::filesystem::path& path) : path_(path), fresh_(!std::filesystem::exists(path)) {}
    ~FreshFile() {
        std::error_code ignored;
        if (fresh_) std::filesystem::remove(path_, ignored);
    }
    FreshFile(const FreshFile&) = delete;
    FreshFile& operator=(const FreshFile&) = delete;
    void keep() { fresh_ = false; }

  private:
    const std::filesystem::path& path_;
    bool fresh_;
};

}  // namespace

std::vector<MergeSummary> merge_databases(std::span<const std::filesystem::path> inputs,
                                          const std::filesystem::path& into) {
    require_inputs(inputs, into);
    FreshFile file(into);
    SQLite::Database db = open_for_writing(into);
    return guarded(into, [&] {
        // A rollback journal keeps only the pages a transaction changes; a write-ahead log would hold everything added
        // a second time. It also makes SQLite insist on being alone with the file.
        db.exec("PRAGMA main.journal_mode = DELETE");
        // Every row comes from a database that has checked it.
        db.exec("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON");
        db.exec("PRAGMA cache_size = -65536");
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            SQLite::Statement attach(db, fmt::format("ATTACH ? AS input{}", i));
            attach.bind(1, reading_uri(inputs[i]));
            attach.exec();
        }
        SQLite::Transaction transaction(db, SQLite::TransactionBehavior::EXCLUSIVE);
        std::optional<IndexRebuild> indexes;
        if (brings_more_than_there_is(db, inputs.size())) indexes.emplace(db);
        std::vector<MergeSummary> summaries;
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            summaries.push_back(Merger(db, fmt::format("input{}", i), inputs[i], into).run());
        }
        if (indexes) indexes->build();
        transaction.commit();
        file.keep();
        db.exec("PRAGMA main.journal_mode = WAL");  // of this file alone, whatever that of the inputs is
        return summaries;
    });
}

std::vector<std::string> merge_remarks(const std::filesystem::path& database) {
    SQLite::Database db = open_for_reading(database);
    return guarded(database, [&] {
        std::vector<std::string> remarks;
        SQLite::Statement select(
            db,
            "SELECT name, count(*), group_concat(device, ', ') FROM (SELECT s.name, e.device_name || ' (' || "
            "e.device_uuid || ')' AS device FROM study s CROSS JOIN environment e WHERE EXISTS (SELECT 1 FROM "
            "iteration i "
            "WHERE i.study_id = s.id AND i.environment_id = e.id AND i.outcome = 'ok') GROUP BY s.name, e.device_uuid) "
            "GROUP BY name HAVING count(*) > 1 ORDER BY name");
        while (select.executeStep()) {
            remarks.push_back(fmt::format(
                "study '{}' was measured on {} devices, whose times do not compare: {}; `best` "
                "gives each its own winner",
                select.getColumn(0).getString(), select.getColumn(1).getInt(), select.getColumn(2).getString()));
        }
        return remarks;
    });
}

}  // namespace attune
