// kill -9 at any instant: what was finished is there, once, and nothing else.
#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <random>

#include "core/temp_folder.h"
#include "store/sample_record.h"
#include "store/store.h"

namespace attune {
namespace {

/// Finishes iterations for ever, writing the number of each to `report` once `finish` has returned.
[[noreturn]] void write_for_ever(const std::filesystem::path& db, int report) {
    Store store(db);
    store.open_study(sample_study(), sample_template());
    for (int n = static_cast<int>(store.iterations().size());; ++n) {
        const IterationRecord record = sample_record(n);
        store.begin({record.params, record.template_hash, record.environment, "boot"});
        const std::int64_t iter = store.finish(record, sample_sources(n));
        if (::write(report, &iter, sizeof iter) != sizeof iter) ::_exit(1);
    }
}

/// Runs the writer for `life_us` after its first iteration, kills it, and returns the last number it reported.
std::int64_t run_and_kill(const std::filesystem::path& db, int life_us) {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) return -1;
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ends[0]);
        write_for_ever(db, ends[1]);
    }
    ::close(ends[1]);
    std::int64_t last = 0;
    std::int64_t iter = 0;
    if (::read(ends[0], &iter, sizeof iter) == sizeof iter) last = iter;
    ::usleep(static_cast<useconds_t>(life_us));
    ::kill(child, SIGKILL);
    while (::read(ends[0], &iter, sizeof iter) == sizeof iter)
        last = iter;
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);
    return last;
}

TEST(StoreKillTest, EveryFinishedIterationSurvivesOnceAndInOrder) {
    const TempFolder folder;
    const auto db = folder.path() / "attune.db";
    std::mt19937 random(20240607);
    for (int round = 0; round < 25; ++round) {
        const std::int64_t reported = run_and_kill(db, static_cast<int>(random() % 40'000));
        ASSERT_GT(reported, 0);

        Store store(db);
        store.open_study(sample_study(), sample_template());
        const auto rows = store.iterations();
        const auto count = static_cast<std::int64_t>(rows.size());
        EXPECT_GE(count, reported) << "a finished iteration is missing";
        EXPECT_LE(count, reported + 1) << "at most the one whose report was cut off";
        std::string tsv =
            "iter\tgeomean_ms\tdelta_ms\twindow_ms\tglobal_ms\tretrieval_ms\tstatus\tparams\tdescription\n";
        for (std::size_t i = 0; i < rows.size(); ++i) {
            ASSERT_EQ(rows[i].iter, static_cast<std::int64_t>(i) + 1);
            const IterationRecord record = sample_record(static_cast<int>(i));
            ASSERT_EQ(rows[i].params, record.params);
            tsv += fmt::format("{}\t{:.6f}\t{}\t{:.6f}\t{:.6f}\t{:.6f}\tdiscard\t{}\t{}\n", i + 1, *record.geomean_ms,
                               record.delta_ms ? fmt::format("{:+.6f}", *record.delta_ms) : "-", *record.family_ms[0],
                               *record.family_ms[1], *record.family_ms[2], record.params, record.description);
        }
        ASSERT_EQ(read_file(store.tsv_path()), tsv);
        // An iteration is whole or absent, and it closed its intent.
        SQLite::Database check(db.string());
        EXPECT_EQ(check.execAndGet("PRAGMA integrity_check").getString(), "ok");
        EXPECT_EQ(check.execAndGet("SELECT count(*) FROM case_result").getInt64(), 3 * count);
        EXPECT_EQ(check.execAndGet("SELECT count(*) FROM iteration_detail WHERE source_id IS NOT NULL").getInt64(),
                  count);
        const auto intents = store.open_intents();
        ASSERT_LE(intents.size(), 1U);
        if (!intents.empty()) {
            EXPECT_EQ(intents[0].intent.params, sample_params(static_cast<int>(count)));
        }
    }
}

// What a disk holds after the power went is the database and some first part of its log, the last write torn.
TEST(StoreKillTest, WhateverIsLeftOfTheLogIsAWholeRecord) {
    const TempFolder folder;
    const auto db = folder.path() / "attune.db";
    const std::int64_t reported = run_and_kill(db, 60'000);
    const std::filesystem::path log = db.string() + "-wal";
    ASSERT_TRUE(std::filesystem::exists(log));
    const auto log_bytes = std::filesystem::file_size(log);
    std::mt19937_64 random(5);
    std::int64_t most = 0;
    for (int cut = 0; cut < 40; ++cut) {
        const auto copy = folder.path() / std::to_string(cut) / "attune.db";
        std::filesystem::create_directories(copy.parent_path());
        std::filesystem::copy_file(db, copy);
        std::filesystem::copy_file(log, copy.string() + "-wal");
        const auto kept = cut == 0 ? log_bytes : std::uniform_int_distribution<std::uintmax_t>(0, log_bytes)(random);
        std::filesystem::resize_file(copy.string() + "-wal", kept);
        if (cut % 2 == 1) std::ofstream(copy.string() + "-wal", std::ios::app) << std::string(5000, '\xa5');

        Store store(copy);
        store.open_study(sample_study(), sample_template());
        const auto rows = store.iterations();
        for (std::size_t i = 0; i < rows.size(); ++i)
            ASSERT_EQ(rows[i].params, sample_record(static_cast<int>(i)).params);
        EXPECT_EQ(store.finish(sample_record(static_cast<int>(rows.size())), {}),
                  static_cast<std::int64_t>(rows.size()) + 1);
        SQLite::Database check(copy.string());
        EXPECT_EQ(check.execAndGet("PRAGMA integrity_check").getString(), "ok");
        most = std::max(most, static_cast<std::int64_t>(rows.size()));
    }
    EXPECT_GE(most, reported) << "the whole log holds whatever was finished";
}

}  // namespace
}  // namespace attune
