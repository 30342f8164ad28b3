#include "export/interchange.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "config/kernel_tuner_cache.h"
#include "core/error.h"
#include "core/shell.h"
#include "store/merge.h"
#include "store/sample_record.h"
#include "store/store.h"

namespace attune {
namespace {

using nlohmann::json;

class Interchange : public testing::Test {
  protected:
    Interchange() {
        Store store(database());
        store.open_study(sample_study(), sample_template());
        const auto add = [&](const IterationRecord& record) { store.finish(record, {}); };
        IterationRecord old = sample_record(5);
        old.template_hash = std::string(64, 'd');
        add(old);
        add(sample_record(0, Status::keep, 0.05));
        add(sample_record(1, Status::discard, 0.06));
        add(sample_record(1, Status::discard, 0.07));
        add(sample_crash(2));
        IterationRecord hang = sample_crash(3);
        hang.outcome = Outcome::timeout;
        add(hang);
        IterationRecord pruned = sample_record(4);
        pruned.outcome = Outcome::pruned;
        pruned.geomean_ms.reset();
        pruned.bound_ms = 0.09;
        add(pruned);
    }
    [[nodiscard]] std::filesystem::path database() const { return folder_.path() / "attune.db"; }
    TempFolder folder_;
};

TEST_F(Interchange, KernelTunerCacheHoldsTheLatestEditionOnce) {
    const std::string text = kernel_tuner_text(Reader(database()), "flagship", "");
    EXPECT_THAT(text, testing::EndsWith("}\n}"));  // what Kernel Tuner looks for before it appends
    const json cache = json::parse(text);
    EXPECT_EQ(cache["tune_params_keys"], json({"tile_n", "stages", "exp"}));
    EXPECT_EQ(cache["tune_params"]["tile_n"], json({32, 64, 128}));
    EXPECT_EQ(cache["tune_params"]["exp"], json({"native", "poly"}));
    ASSERT_EQ(cache["cache"].size(), 5U);
    EXPECT_DOUBLE_EQ(cache["cache"]["64,1,native"]["time"], 0.07);  // measured twice: the later
    EXPECT_EQ(cache["cache"]["128,1,native"]["time"], "CompilationFailedConfig");
    EXPECT_EQ(cache["cache"]["32,2,native"]["time"], "RuntimeFailedConfig");
    EXPECT_DOUBLE_EQ(cache["cache"]["64,2,native"]["time"], 0.09);  // pruned: at least that
    EXPECT_EQ(cache["cache"]["64,2,native"]["outcome"], "pruned");
}

// Names of shards are random, so which one is first by name says nothing of which was at work last.
TEST_F(Interchange, TheLatestEditionIsThatOfTheShardAtWorkLast) {
    for (const bool first_is_late : {false, true}) {
        const std::string edition[] = {std::string(64, 'a'), std::string(64, 'b')};
        std::vector<std::filesystem::path> shards;
        for (const int part : {0, 1}) {
            shards.push_back(folder_.path() / fmt::format("shard-{}-{}.db", part, first_is_late));
            Store store(shards.back());
            store.open_study(sample_study(), sample_template());
            IterationRecord record = sample_record(part);
            record.template_hash = edition[part];
            store.begin({record.params, record.template_hash, record.environment, "boot"});
            store.finish(record, {});
        }
        const std::size_t late = first_is_late ? 0 : 1;
        SQLite::Database(shards[late].string(), SQLite::OPEN_READWRITE)
            .exec("UPDATE iteration SET finished_us = finished_us + 3600000000");
        const auto merged = folder_.path() / fmt::format("merged-{}.db", first_is_late);
        (void)merge_databases(shards, merged);
        const json cache = json::parse(kernel_tuner_text(Reader(merged), "flagship", ""));
        ASSERT_EQ(cache["cache"].size(), 1U);
        EXPECT_EQ(cache["cache"].items().begin().key(), late == 0 ? "32,1,native" : "64,1,native");
    }
}

TEST_F(Interchange, OurOwnReaderTakesTheCache) {
    const auto path = folder_.write("cache.json", kernel_tuner_text(Reader(database()), "flagship", ""));
    const std::vector<RecordedRow> rows = read_kernel_tuner_cache(path);
    ASSERT_EQ(rows.size(), 5U);
    EXPECT_EQ(std::ranges::count_if(rows, [](const RecordedRow& row) { return row.trial.score_ms.has_value(); }), 3);
}

TEST_F(Interchange, T4HoldsEveryIteration) {
    const json results = json::parse(t4_text(Reader(database()), "flagship", ""));
    EXPECT_EQ(results["schema_version"], "1.0.0");
    ASSERT_EQ(results["results"].size(), 7U);
    EXPECT_EQ(results["results"][1]["invalidity"], "correct");
    EXPECT_EQ(results["results"][1]["configuration"], json({{"tile_n", 32}, {"stages", 1}, {"exp", "native"}}));
    EXPECT_EQ(results["results"][4]["invalidity"], "compile");
    EXPECT_EQ(results["results"][4]["correctness"], 0);
    EXPECT_EQ(results["results"][5]["invalidity"], "timeout");
}

// Where it is installed; ATTUNE_KERNEL_TUNER_PYTHON names an interpreter that has it.
TEST_F(Interchange, KernelTunerTakesBothFiles) {
    const char* named = std::getenv("ATTUNE_KERNEL_TUNER_PYTHON");
    const std::string python = named == nullptr ? ATTUNE_TEST_PYTHON : named;
    if (shell(python + " -c 'import kernel_tuner, jsonschema'").code != 0) {
        GTEST_SKIP() << "kernel_tuner is not installed";
    }
    const Reader reader(database());
    const auto cache = folder_.write("cache.json", kernel_tuner_text(reader, "flagship", ""));
    const auto t4 = folder_.write("t4.json", t4_text(reader, "flagship", ""));
    const Ran checked =
        shell(python + " " ATTUNE_SOURCE_DIR "/scripts/check_interchange.py " + cache.string() + " " + t4.string());
    EXPECT_EQ(checked.code, 0) << checked.output();
}

TEST_F(Interchange, RefusesWhatWasNeverMeasured) {
    EXPECT_THROW(static_cast<void>(t4_text(Reader(database()), "flagship", "NVIDIA A100")), InputError);
}

}  // namespace
}  // namespace attune
