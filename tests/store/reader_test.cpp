// The read side: everything comes back, names are resolved, nothing is written.
#include "store/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "core/error.h"
#include "core/message_of.h"
#include "core/temp_folder.h"
#include "store/sample_record.h"

namespace attune {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ReaderTest : public ::testing::Test {
  protected:
    std::filesystem::path db_path() const { return folder.path() / "attune.db"; }
    std::unique_ptr<Store> open(const std::string& name = "flagship") {
        auto store = std::make_unique<Store>(db_path());
        store->open_study(sample_study(name), tmpl);
        return store;
    }
    TempFolder folder;
    KernelTemplate tmpl = sample_template();
};

void expect_equal(const CheckReport& a, const CheckReport& b) {
    EXPECT_EQ(a.passed, b.passed);
    EXPECT_EQ(a.o_max_abs_error, b.o_max_abs_error);
    EXPECT_EQ(a.o_worst_ratio, b.o_worst_ratio);
    EXPECT_EQ(a.lse_max_abs_error, b.lse_max_abs_error);
    EXPECT_EQ(a.lse_worst_ratio, b.lse_worst_ratio);
    EXPECT_EQ(a.o_bad_elements, b.o_bad_elements);
    EXPECT_EQ(a.lse_bad_elements, b.lse_bad_elements);
    EXPECT_EQ(a.guards_intact, b.guards_intact);
    EXPECT_EQ(a.detail, b.detail);
}

TEST_F(ReaderTest, AnIterationComesBackInFull) {
    IterationRecord record = sample_record(3, Status::keep, 0.04);
    record.pair = PairRecord{7, 0.98, 0.97, 0.99, 40};
    record.robust = false;
    record.bound_ms = 0.01;
    record.diagnostics = "why";
    record.artifact->log = "a warning\n";
    record.artifact->from_cache = true;
    record.artifact->performance_warning = true;
    record.cases[1].samples.throttled = true;
    record.cases[2].check.reset();
    record.cases[2].warm_median_ms.reset();
    record.cases[2].samples.warm_ms.clear();
    record.stresses = {{"g", Stress::peaked, {true, 1e-3, 0.5, 1e-6, 0.25, 0, 0, true, ""}},
                       {"g", Stress::seq_len_127, {false, std::nan(""), 3e9, 1.0, 2.0, 17, 18, false, "row 3 is NaN"}}};
    open()->finish(record, sample_sources(3));

    const Reader reader(db_path());
    const IterationDetail detail = reader.iteration(reader.resolve("1"));
    const IterationRecord& back = detail.record;
    EXPECT_EQ(detail.key.study, "flagship");
    EXPECT_GT(detail.finished_us, 1'700'000'000'000'000);
    EXPECT_EQ(back.params, record.params);
    EXPECT_EQ(back.status, record.status);
    EXPECT_EQ(back.description, record.description);
    EXPECT_EQ(back.family_ms, record.family_ms);
    EXPECT_EQ(back.bound_ms, record.bound_ms);
    EXPECT_EQ(back.robust, record.robust);
    EXPECT_EQ(back.template_hash, record.template_hash);
    EXPECT_EQ(back.diagnostics, "why");
    EXPECT_EQ(back.reproduce, record.reproduce);
    EXPECT_EQ(back.strategy, record.strategy);
    EXPECT_EQ(back.compile_s, record.compile_s);
    EXPECT_EQ(back.device_s, record.device_s);
    ASSERT_TRUE(back.pair.has_value());
    EXPECT_EQ(back.pair->incumbent_iter, 7);
    EXPECT_EQ(back.pair->ratio_high, 0.99);
    EXPECT_EQ(back.pair->pairs, 40);
    ASSERT_TRUE(back.artifact.has_value());
    EXPECT_EQ(back.artifact->source_hash, record.artifact->source_hash);
    EXPECT_EQ(back.artifact->options, record.artifact->options);
    EXPECT_EQ(back.artifact->compiler, record.artifact->compiler);
    EXPECT_EQ(back.artifact->log, "a warning\n");
    EXPECT_TRUE(back.artifact->from_cache);
    EXPECT_TRUE(back.artifact->performance_warning);
    ASSERT_EQ(back.artifact->kernels.size(), 1U);
    EXPECT_EQ(back.artifact->kernels[0].entry, "attention");
    EXPECT_EQ(back.artifact->kernels[0].registers, 103);
    EXPECT_EQ(back.environment.device_name, "NVIDIA H200");
    EXPECT_EQ(back.environment.temperature_c, 41);
    EXPECT_EQ(back.environment.throttle_reasons, "none");
    ASSERT_EQ(back.cases.size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(back.cases[i].case_id, record.cases[i].case_id);
        EXPECT_EQ(back.cases[i].family, record.cases[i].family);
        EXPECT_EQ(back.cases[i].samples.cold_ms, record.cases[i].samples.cold_ms);
        EXPECT_EQ(back.cases[i].samples.warm_ms, record.cases[i].samples.warm_ms);
        EXPECT_EQ(back.cases[i].samples.throttled, record.cases[i].samples.throttled);
        EXPECT_EQ(back.cases[i].cold_median_ms, record.cases[i].cold_median_ms);
        EXPECT_EQ(back.cases[i].warm_median_ms, record.cases[i].warm_median_ms);
        ASSERT_EQ(back.cases[i].check.has_value(), record.cases[i].check.has_value());
    }
    expect_equal(*back.cases[0].check, *record.cases[0].check);
    ASSERT_EQ(back.stresses.size(), 2U);
    EXPECT_EQ(back.stresses[0].stress, Stress::peaked);
    expect_equal(back.stresses[0].check, record.stresses[0].check);
    EXPECT_EQ(back.stresses[1].stress, Stress::seq_len_127);
    EXPECT_TRUE(std::isnan(back.stresses[1].check.o_max_abs_error));
    EXPECT_EQ(back.stresses[1].check.detail, "row 3 is NaN");
    ASSERT_EQ(detail.sources.size(), 4U);
    EXPECT_EQ(detail.sources[1].text, sample_sources(3)[1].text);
}

TEST_F(ReaderTest, StudiesDescribeThemselves) {
    open("beta");
    open("alpha")->finish(sample_record(0), {});
    const auto studies = Reader(db_path()).studies();
    ASSERT_EQ(studies.size(), 2U);
    EXPECT_EQ(studies[0].name, "alpha");
    EXPECT_EQ(studies[0].template_name, "blocks");
    EXPECT_EQ(studies[0].device, DeviceKind::cpu);
    EXPECT_EQ(studies[0].suite.name, "quick");
    EXPECT_EQ(studies[0].suite.cases, sample_study().suite.cases) << "seeds above 2^63 included";
    EXPECT_EQ(studies[0].iterations(), 1);
    EXPECT_EQ(studies[1].iterations(), 0);
    ASSERT_EQ(studies[0].shards.size(), 1U);
    EXPECT_EQ(studies[0].shards[0].baseline, "tile_n=64");
    EXPECT_EQ(studies[0].shards[0].seed, 7U);
    EXPECT_EQ(studies[0].shards[0].database, "attune.db");
    EXPECT_THAT(
        studies[0].shards[0].space_json,
        HasSubstr(R"({"name":"exp","values":["native","poly"],"default":"native","meaning":"how exp2 is computed"})"));
    EXPECT_THAT(studies[0].shards[0].measure_json, HasSubstr(R"("max_pairs":200)"));
}

TEST_F(ReaderTest, ResolvesIterationsAsPeopleNameThem) {
    auto store = open();
    for (int i = 0; i < 3; ++i)
        store->finish(sample_record(i), {});
    {
        const Reader reader(db_path());
        EXPECT_EQ(reader.resolve("3").iter, 3);
        EXPECT_EQ(reader.resolve("flagship:2").iter, 2);
        EXPECT_EQ(reader.short_name(reader.resolve("2")), "2");
        EXPECT_THAT(message_of<InputError>([&] { (void)reader.resolve("4"); }), HasSubstr("it has 1 to 3"));
        for (const std::string wrong : {"", "x", "0", "-1", "1.5", "1 ", "flagship:", ":", "99999999999999999999"}) {
            EXPECT_THAT(message_of<InputError>([&] { (void)reader.resolve(wrong); }), HasSubstr("names no iteration"))
                << wrong;
        }
    }
    open("second")->finish(sample_record(0), {});
    const Reader reader(db_path());
    EXPECT_THAT(message_of<InputError>([&] { (void)reader.resolve("1"); }),
                AllOf(HasSubstr("flagship, second"), HasSubstr("--study")));
    EXPECT_EQ(reader.resolve("1", "second").study, "second");
    EXPECT_EQ(reader.resolve("flagship:1", "second").study, "flagship");
    EXPECT_EQ(reader.short_name(reader.resolve("second:1")), "second:1");
    EXPECT_THAT(message_of<InputError>([&] { (void)reader.resolve("secnd:1"); }), HasSubstr("did you mean 'second'"));
}

TEST_F(ReaderTest, ADatabaseWithoutStudiesSaysSo) {
    Store store(db_path());
    const Reader reader(db_path());
    EXPECT_THAT(reader.studies(), IsEmpty());
    EXPECT_THAT(message_of<InputError>([&] { (void)reader.resolve("1"); }), HasSubstr("no study yet"));
    open();
    EXPECT_THAT(message_of<InputError>([&] { (void)reader.resolve("1"); }), HasSubstr("it has none yet"));
}

TEST_F(ReaderTest, BestIsTheLastKeptPerStudyAndDevice) {
    auto store = open();
    const auto finish = [&](int n, Status status, double score, const std::string& uuid,
                            const std::string& version = "0.1.0") {
        IterationRecord record = sample_record(n, status, score);
        record.environment.device_uuid = uuid;
        record.environment.attune_version = version;
        store->finish(record, {});
    };
    finish(0, Status::keep, 0.06, "GPU-1");
    finish(1, Status::keep, 0.05, "GPU-1");
    finish(2, Status::discard, 0.01, "GPU-1");
    // The same device under a newer program, on a slower day: it beat the keep before it in alternation.
    finish(3, Status::keep, 0.0502, "GPU-1", "0.2.0");
    finish(4, Status::keep, 0.03, "GPU-2");
    store->finish(sample_crash(5), {});
    open("second");

    const Reader reader(db_path());
    const auto best = reader.best({});
    ASSERT_EQ(best.size(), 2U);
    EXPECT_EQ(best[0].row.device_uuid, "GPU-1");
    EXPECT_EQ(best[0].row.iter, 4);
    EXPECT_EQ(best[0].device_name, "NVIDIA H200");
    EXPECT_EQ(best[1].row.device_uuid, "GPU-2");
    EXPECT_EQ(best[1].row.iter, 5);
    EXPECT_THAT(reader.best({"second", false, std::nullopt}), IsEmpty());
    EXPECT_THROW((void)reader.best({"third", false, std::nullopt}), InputError);
}

/// A robust discard counts unless it has lost to a robust incumbent.
TEST_F(ReaderTest, RobustBestDoesNotGoByScoreAgainstAnAlternation) {
    auto store = open();
    const auto finish = [&](int n, Status status, double score, bool robust, std::int64_t lost_to = 0) {
        IterationRecord record = sample_record(n, status, score);
        record.robust = robust;
        record.pair.reset();
        if (lost_to > 0) record.pair = PairRecord{lost_to, 1.02, 1.01, 1.03, 20};
        store->finish(record, {});
    };
    const auto winner = [&] { return Reader(db_path()).best({"", true, std::nullopt}).at(0).row.iter; };
    finish(0, Status::keep, 0.050, true);
    finish(1, Status::discard, 0.048, true, 1);
    EXPECT_EQ(winner(), 1) << "2 has the lower score and lost";
    finish(2, Status::keep, 0.049, true);
    EXPECT_EQ(winner(), 3);
    finish(3, Status::keep, 0.040, false);
    EXPECT_EQ(winner(), 3);
    finish(4, Status::discard, 0.045, true, 4);
    EXPECT_EQ(winner(), 5) << "it lost to one that is not robust";
}

TEST_F(ReaderTest, WhatWasFoundIncorrectLaterIsTheBestOfNothing) {
    auto store = open();
    for (const int n : {0, 1}) {
        IterationRecord record = sample_record(n, Status::keep, 0.05 - 0.01 * n);
        record.robust = true;
        store->finish(record, {});
    }
    const Reader reader(db_path());
    const std::vector<BestRequest> requests{
        {"", false, std::nullopt}, {"", true, std::nullopt}, {"", false, Family::sliding_window}};
    for (const BestRequest& request : requests)
        EXPECT_EQ(reader.best(request).at(0).row.iter, 2);
    IterationRecord wrong = sample_crash(1);
    wrong.outcome = Outcome::incorrect;
    store->finish(wrong, {});
    for (const BestRequest& request : requests)
        EXPECT_EQ(reader.best(request).at(0).row.iter, 1);
}

TEST_F(ReaderTest, BestPerFamilyAndRobustLookBeyondTheKept) {
    auto store = open();
    const auto finish = [&](int n, Status status, FamilyTimes family_ms, std::optional<bool> robust) {
        IterationRecord record = sample_record(n, status, 0.05 + 0.001 * n);
        record.family_ms = family_ms;
        record.robust = robust;
        if (!family_ms[1]) {
            record.outcome = Outcome::pruned;
            record.geomean_ms.reset();
        }
        store->finish(record, {});
    };
    finish(0, Status::keep, {0.05, 0.05, 0.05}, false);
    finish(1, Status::discard, {0.06, 0.04, 0.09}, true);
    finish(2, Status::discard, {0.07, 0.09, 0.03}, std::nullopt);
    finish(3, Status::discard, {0.01, std::nullopt, std::nullopt}, std::nullopt);
    const Reader reader(db_path());
    EXPECT_EQ(reader.best({})[0].row.iter, 1);
    EXPECT_EQ(reader.best({"", true, std::nullopt})[0].row.iter, 2);
    EXPECT_EQ(reader.best({"", false, Family::sliding_window})[0].row.iter, 1) << "a pruned time does not count";
    EXPECT_EQ(reader.best({"", false, Family::sliding_window_global})[0].row.iter, 2);
    EXPECT_EQ(reader.best({"", false, Family::sliding_window_retrieval})[0].row.iter, 3);
    EXPECT_EQ(reader.best({"", true, Family::sliding_window_retrieval})[0].row.iter, 2);
}

TEST_F(ReaderTest, ReadsWhileAWriterWrites) {
    auto store = open();
    store->finish(sample_record(0), {});
    const Reader reader(db_path());
    EXPECT_EQ(reader.iterations("").size(), 1U);
    store->finish(sample_record(1), {});
    EXPECT_EQ(reader.iterations("flagship").size(), 2U);
}

TEST_F(ReaderTest, CreatesNothing) {
    const auto path = folder.path() / "none" / "attune.db";
    EXPECT_THAT(message_of<InputError>([&] { Reader reader(path); }),
                AllOf(HasSubstr(path.string()), HasSubstr("name another file")));
    EXPECT_FALSE(std::filesystem::exists(path.parent_path()));
}

}  // namespace
}  // namespace attune
