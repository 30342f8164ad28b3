// SQL of a person's own: everything that reads works, nothing else does.
#include "store/query.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/message_of.h"
#include "core/temp_folder.h"
#include "store/sample_record.h"
#include "store/store.h"

namespace attune {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Rows as text, cells joined by '|'.
class Collect : public RowSink {
  public:
    void columns(const std::vector<std::string>& names) override { header = names; }
    bool row(std::span<const Cell> cells) override {
        std::string line;
        for (const Cell& cell : cells)
            line += (line.empty() ? "" : "|") + text_of(cell);
        rows.push_back(line);
        return rows.size() < limit;
    }
    static std::string text_of(const Cell& cell) {
        if (const auto* number = std::get_if<std::int64_t>(&cell)) return fmt::format("{}", *number);
        if (const auto* number = std::get_if<double>(&cell)) return fmt::format("{}", *number);
        if (const auto* text = std::get_if<std::string_view>(&cell)) return std::string(*text);
        if (const auto* blob = std::get_if<Blob>(&cell)) return fmt::format("<{}>", blob->bytes.size());
        return "NULL";
    }
    std::vector<std::string> header;
    std::vector<std::string> rows;
    std::size_t limit = 1'000'000;
};

class QueryTest : public ::testing::Test {
  protected:
    void SetUp() override {
        Store store(db_path());
        store.open_study(sample_study(), sample_template());
        for (int i = 0; i < 5; ++i)
            store.finish(sample_record(i, i == 2 ? Status::keep : Status::discard), sample_sources(i));
        store.finish(sample_crash(5), {});
    }
    std::filesystem::path db_path() const { return folder.path() / "attune.db"; }
    std::vector<std::string> ask(const std::string& sql, const std::vector<std::string>& texts = {}) {
        Collect collect;
        run_query(db_path(), sql, texts, collect);
        return collect.rows;
    }
    std::string refused(const std::string& sql) {
        return message_of<InputError>([&] { ask(sql); });
    }
    TempFolder folder;
};

TEST_F(QueryTest, ViewsAnswer) {
    EXPECT_THAT(ask("SELECT study, iter, status FROM iterations WHERE status <> 'discard' ORDER BY iter"),
                ElementsAre("flagship|3|keep", "flagship|6|crash"));
    EXPECT_THAT(ask("SELECT iter, device FROM best"), ElementsAre("3|NVIDIA H200"));
    EXPECT_THAT(ask("SELECT case_id, t_max, cold_samples, passed FROM cases WHERE iter = 1"),
                ElementsAre("w|1024|50|1", "g|1024|50|1", "r|2048|50|1"));
    EXPECT_THAT(ask("SELECT name, value FROM params WHERE iter = 6"),
                ElementsAre("tile_n|128", "stages|2", "exp|native"));
    EXPECT_THAT(ask("SELECT entry, registers FROM kernels WHERE iter = 2"), ElementsAre("attention|101"));
    EXPECT_THAT(
        ask("SELECT file, length(text) FROM sources WHERE iter = 1 ORDER BY file"),
        ElementsAre("attune/attn_args.h|1500", fmt::format("attune_tune.h|{}", sample_sources(0)[1].text.size()),
                    "kernel.cpp|20000", "template.json|3000"));
    EXPECT_THAT(ask("SELECT diagnostics FROM iterations WHERE iter = 6"), ElementsAre("kernel.cpp(3): error: no\n"));
    EXPECT_THAT(ask("SELECT source_hash FROM iterations WHERE iter = 1"), ElementsAre(sha256_hex("0")));
    EXPECT_THAT(ask("SELECT substr(finished_at, 1, 2), length(finished_at) FROM iterations LIMIT 1"),
                ElementsAre("20|20"));
}

TEST_F(QueryTest, RawSamplesAreReadableAsJson) {
    EXPECT_THAT(ask("SELECT json_array_length(samples(cold_ms)), json_extract(samples(cold_ms), '$[1]') = "
                    "max(value) FROM cases, json_each(samples(cold_ms)) WHERE iter = 1 AND case_id = 'w' AND key < 2"),
                ElementsAre("50|1"));
    EXPECT_THAT(ask("SELECT samples(NULL)"), ElementsAre("NULL"));
}

TEST_F(QueryTest, ReadingInEveryFormIsAllowed) {
    EXPECT_THAT(ask("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT max(i) FROM n"),
                ElementsAre("3"));
    EXPECT_THAT(ask("PRAGMA user_version"), ElementsAre("2"));
    EXPECT_FALSE(ask("PRAGMA table_info(iterations)").empty());
    EXPECT_FALSE(ask("EXPLAIN QUERY PLAN SELECT * FROM best").empty());
    EXPECT_THAT(ask("SELECT ?1 || ?2", {"a", "b'; --"}), ElementsAre("ab'; --"));
    EXPECT_THAT(ask("SELECT 1; -- done\n /* really */ "), ElementsAre("1"));
    EXPECT_THAT(ask("SELECT count(*) > 20 FROM pragma_table_info('iterations')"), ElementsAre("1"));
    EXPECT_THAT(ask("SELECT round(sqrt(4.0), 1)"), ElementsAre("2"));
}

TEST_F(QueryTest, WhateverIsNotReadingIsRefused) {
    const std::string before = read_file(db_path());
    const auto other = folder.path() / "other.db";
    for (const std::string& sql : {std::string("DELETE FROM iteration"),
                                   std::string("UPDATE study SET name = 'x'"),
                                   std::string("DROP TABLE study"),
                                   std::string("INSERT INTO build VALUES (9, 'a', 'b')"),
                                   std::string("CREATE TABLE t (x)"),
                                   std::string("CREATE TEMP TABLE t (x)"),
                                   fmt::format("ATTACH '{}' AS o", other.string()),
                                   std::string("PRAGMA user_version = 7"),
                                   std::string("PRAGMA journal_mode = DELETE"),
                                   std::string("PRAGMA writable_schema = 1"),
                                   std::string("PRAGMA query_only = 0"),
                                   std::string("VACUUM"),
                                   fmt::format("VACUUM INTO '{}'", other.string()),
                                   std::string("SELECT load_extension('libm.so.6')"),
                                   std::string("BEGIN"),
                                   std::string("REINDEX"),
                                   std::string("ANALYZE"),
                                   std::string("SAVEPOINT s"),
                                   std::string("SELECT fts3_tokenizer('simple')"),
                                   std::string("SELECT * FROM pragma_journal_mode('DELETE')")}) {
        EXPECT_THAT(refused(sql), Not(HasSubstr("nothing thrown"))) << sql;
    }
    EXPECT_THAT(refused("SELECT 1; SELECT 2"), HasSubstr("more than one statement"));
    EXPECT_THAT(refused("SELECT 1; DELETE FROM iteration"), HasSubstr("only reading"));
    EXPECT_THAT(refused("DELETE FROM iteration"), HasSubstr("only reading"));
    EXPECT_EQ(read_file(db_path()), before);
    EXPECT_FALSE(std::filesystem::exists(other));
}

TEST_F(QueryTest, MistakesAreExplainedOnOneLine) {
    EXPECT_THAT(refused("SELEKT 1"), AllOf(HasSubstr("near \"SELEKT\""), HasSubstr("docs/database.md")));
    EXPECT_THAT(refused("SELECT nonsense FROM iterations"), HasSubstr("no such column: nonsense"));
    EXPECT_THAT(refused(""), HasSubstr("empty"));
    EXPECT_THAT(refused(" -- nothing"), HasSubstr("empty"));
}

TEST_F(QueryTest, AQueryThatNeverEndsIsStopped) {
    Collect collect;
    const std::string said = message_of<InputError>([&] {
        run_query(db_path(), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n", {},
                  collect, 0.05);
    });
    EXPECT_THAT(said, AllOf(HasSubstr("0.05 s"), HasSubstr("--time-limit")));
    EXPECT_TRUE(collect.header.empty()) << "a query that fails at once prints nothing";
}

TEST_F(QueryTest, TimeOfTheReceiverDoesNotCount) {
    class Slow : public Collect {
      public:
        bool row(std::span<const Cell> cells) override {
            if (rows.empty()) ::usleep(300'000);
            return Collect::row(cells);
        }
    } slow;
    run_query(db_path(),
              "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000) SELECT i FROM n", {},
              slow, 0.25);
    EXPECT_EQ(slow.rows.size(), 40000U);
}

TEST_F(QueryTest, AReceiverThatHasEnoughEndsTheQuery) {
    Collect collect;
    collect.limit = 2;
    run_query(db_path(), "SELECT iter FROM iterations ORDER BY iter", {}, collect);
    EXPECT_THAT(collect.rows, ElementsAre("1", "2"));
}

TEST_F(QueryTest, TheUsualQuestionsWalkAnIndex) {
    const auto plan = [&](const std::string& sql) {
        return fmt::format("{}", fmt::join(ask("EXPLAIN QUERY PLAN " + sql), "\n"));
    };
    for (const std::string& sql :
         {std::string(
              "SELECT iter, description FROM iterations WHERE study = 'flagship' AND shard = 'x' ORDER BY iter"),
          std::string(
              "SELECT iter, description FROM iterations WHERE study = 'flagship' ORDER BY geomean_ms ASC NULLS LAST"),
          std::string("SELECT iter, description FROM iterations WHERE study = 'flagship' ORDER BY geomean_ms DESC "
                      "NULLS LAST")}) {
        EXPECT_THAT(plan(sql), AllOf(Not(HasSubstr("TEMP B-TREE")), Not(HasSubstr("SCAN i")))) << sql;
    }
    EXPECT_THAT(plan("SELECT * FROM best"), Not(HasSubstr("SCAN i\n")));
}

}  // namespace
}  // namespace attune
