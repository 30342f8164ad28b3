// What the store promises in store.h, on real files.
#include "store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include <SQLiteCpp/SQLiteCpp.h>
#include "core/error.h"
#include "core/message_of.h"
#include "core/temp_folder.h"
#include "store/sample_record.h"

namespace attune {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class StoreTest : public ::testing::Test {
  protected:
    std::filesystem::path db_path() const { return folder.path() / "results" / "attune.db"; }
    std::unique_ptr<Store> open(const std::string& name = "flagship") {
        auto store = std::make_unique<Store>(db_path());
        store->open_study(sample_study(name), tmpl);
        return store;
    }

    TempFolder folder;
    KernelTemplate tmpl = sample_template();
};

TEST_F(StoreTest, NumbersIterationsFromOnePerStudy) {
    auto first = open("first");
    auto second = open("second");
    EXPECT_EQ(first->finish(sample_record(0), {}), 1);
    EXPECT_EQ(second->finish(sample_record(0), {}), 1);
    EXPECT_EQ(first->finish(sample_record(1), {}), 2);
    EXPECT_EQ(first->finish(sample_record(2), {}), 3);
    EXPECT_EQ(second->finish(sample_record(1), {}), 2);
    first.reset();
    EXPECT_EQ(open("first")->finish(sample_record(3), {}), 4);
}

TEST_F(StoreTest, RowsComeBackAsTheyWentIn) {
    auto store = open();
    IterationRecord record = sample_record(5, Status::keep);
    record.robust = false;
    record.artifact->kernels.push_back({"prepass", 40, 2048, 8, 4, 0});
    record.artifact->performance_warning = true;
    store->finish(record, {});
    IterationRecord pruned = sample_record(6);
    pruned.outcome = Outcome::pruned;
    pruned.geomean_ms.reset();
    pruned.bound_ms = 0.125;
    pruned.family_ms = {0.5, std::nullopt, std::nullopt};
    store->finish(pruned, {});
    store->finish(sample_crash(7), {});

    store.reset();
    const auto rows = open()->iterations();
    ASSERT_EQ(rows.size(), 3U);
    EXPECT_EQ(rows[0].iter, 1);
    EXPECT_EQ(rows[0].params, record.params);
    EXPECT_EQ(rows[0].template_hash, record.template_hash);
    EXPECT_EQ(rows[0].status, Status::keep);
    EXPECT_EQ(rows[0].outcome, Outcome::ok);
    EXPECT_EQ(rows[0].description, record.description);
    EXPECT_EQ(rows[0].geomean_ms, record.geomean_ms);
    EXPECT_EQ(rows[0].delta_ms, record.delta_ms);
    EXPECT_EQ(rows[0].family_ms, record.family_ms);
    EXPECT_EQ(rows[0].robust, false);
    EXPECT_EQ(rows[0].registers, 105);
    EXPECT_EQ(rows[0].shared_bytes, 2048);
    EXPECT_EQ(rows[0].spill_bytes, 12);
    EXPECT_TRUE(rows[0].performance_warning);
    EXPECT_DOUBLE_EQ(rows[0].cost_s, 1.75);
    EXPECT_EQ(rows[0].device_uuid, "GPU-1");
    EXPECT_EQ(rows[1].outcome, Outcome::pruned);
    EXPECT_EQ(rows[1].bound_ms, 0.125);
    EXPECT_EQ(rows[1].geomean_ms, std::nullopt);
    EXPECT_EQ(rows[1].robust, std::nullopt);
    EXPECT_EQ(rows[1].family_ms, pruned.family_ms);
    EXPECT_EQ(rows[2].outcome, Outcome::compile_error);
    EXPECT_EQ(rows[2].registers, -1);
    EXPECT_EQ(rows[2].spill_bytes, -1);
}

TEST_F(StoreTest, IncumbentIsTheLastKeep) {
    auto store = open();
    EXPECT_EQ(store->incumbent(), std::nullopt);
    store->finish(sample_record(0, Status::keep, 0.06), {});
    store->finish(sample_record(1, Status::keep, 0.05), {});
    store->finish(sample_record(2, Status::discard, 0.04), {});
    ASSERT_TRUE(store->incumbent().has_value());
    EXPECT_EQ(store->incumbent()->iter, 2);
}

TEST_F(StoreTest, AKeepFoundIncorrectLaterIsTheIncumbentNoLonger) {
    auto store = open();
    store->finish(sample_record(0, Status::keep, 0.06), {});
    store->finish(sample_record(1, Status::keep, 0.05), {});
    IterationRecord wrong = sample_crash(1);
    store->finish(wrong, {});
    EXPECT_EQ(store->incumbent()->iter, 2) << "a compiler that failed says nothing of the kernel";
    wrong.outcome = Outcome::incorrect;
    wrong.template_hash = std::string(64, 'f');
    store->finish(wrong, {});
    EXPECT_EQ(store->incumbent()->iter, 2) << "another source is another kernel";
    wrong.template_hash = std::string(64, 'e');
    store->finish(wrong, {});
    EXPECT_EQ(store->incumbent()->iter, 1);
    store->finish(sample_record(1, Status::keep, 0.05), {});
    EXPECT_EQ(store->incumbent()->iter, 6) << "kept after it";
}

TEST_F(StoreTest, SourcesComeBackAndAreStoredOnce) {
    auto store = open();
    const auto bundle = sample_sources(1);
    auto shuffled = bundle;
    std::swap(shuffled.front(), shuffled.back());
    store->finish(sample_record(0), bundle);
    store->finish(sample_record(1), shuffled);
    store->finish(sample_record(2), sample_sources(2));
    auto edited = bundle;
    edited[2].text += "// edited";
    store->finish(sample_record(3), edited);

    const auto back = store->sources(1);
    ASSERT_EQ(back.size(), bundle.size());
    for (std::size_t i = 0; i < back.size(); ++i) {
        EXPECT_EQ(back[i].name, bundle[i].name);
        EXPECT_EQ(back[i].text, bundle[i].text);
    }
    EXPECT_EQ(store->sources(4)[2].text, edited[2].text);
    EXPECT_THAT(store->sources(99), IsEmpty());
    SQLite::Database db(db_path().string());
    EXPECT_EQ(db.execAndGet("SELECT count(*) FROM source").getInt(), 2);
    EXPECT_EQ(db.execAndGet("SELECT count(*) FROM content").getInt(), 4) << "three files and one edited";
}

TEST_F(StoreTest, LogsAreBoundedAndStoredOnce) {
    auto store = open();
    const std::string log = std::string(kMaxLogBytes, 'x') + "ä" + std::string(kMaxLogBytes, 'y') + "the end";
    store->finish(sample_crash(0, log), {});
    store->finish(sample_crash(1, log), {});
    SQLite::Database db(db_path().string());
    EXPECT_EQ(db.execAndGet("SELECT count(*) FROM content").getInt(), 1);
    const std::string stored = db.execAndGet("SELECT diagnostics FROM iterations WHERE iter = 2").getString();
    EXPECT_LT(stored.size(), kMaxLogBytes + 100);
    EXPECT_THAT(stored, ::testing::StartsWith("xxxx"));
    EXPECT_THAT(stored, ::testing::EndsWith("the end"));
    EXPECT_THAT(stored, HasSubstr("bytes left out"));
}

TEST_F(StoreTest, IntentsOutliveTheStoreAndCountAttempts) {
    auto store = open();
    const Intent first{"a=1", "edition", sample_environment(), "boot-1"};
    Intent second{"a=2", "edition", sample_environment(), "boot-1"};
    store->begin(first);
    store->begin(second);
    store.reset();  // as if it had died

    store = open();
    auto intents = store->open_intents();
    ASSERT_EQ(intents.size(), 2U);
    EXPECT_EQ(intents[0].intent.params, "a=1");
    EXPECT_EQ(intents[0].intent.template_hash, "edition");
    EXPECT_EQ(intents[0].intent.environment.host, sample_environment().host);
    EXPECT_EQ(intents[0].intent.environment.device_uuid, sample_environment().device_uuid);
    EXPECT_EQ(intents[0].intent.boot_id, "boot-1");
    EXPECT_EQ(intents[0].attempts, 1);
    store->abandon(second);
    EXPECT_EQ(store->open_intents().size(), 1U);
    second.boot_id = "boot-2";
    store->begin(second);
    intents = store->open_intents();
    ASSERT_EQ(intents.size(), 2U);
    EXPECT_EQ(intents[1].attempts, 2) << "interrupted before";
    EXPECT_EQ(intents[1].intent.boot_id, "boot-2");
    store->withdraw(second);
    EXPECT_EQ(store->open_intents().size(), 1U);
    store->begin(second);
    EXPECT_EQ(store->open_intents().at(1).attempts, 2) << "what was withdrawn does not count";

    IterationRecord record = sample_record(0);
    record.params = "a=2";
    record.template_hash = "edition";
    store->finish(record, {});
    ASSERT_EQ(store->open_intents().size(), 1U);
    EXPECT_EQ(store->open_intents()[0].intent.params, "a=1");
}

TEST_F(StoreTest, AnIntentIsOfAnEdition) {
    auto store = open();
    store->begin({sample_params(0), "before the edit", sample_environment(), "boot"});
    store->begin({sample_params(0), sample_record(0).template_hash, sample_environment(), "boot"});
    EXPECT_EQ(store->open_intents().size(), 2U);
    store->finish(sample_record(0), {});
    ASSERT_EQ(store->open_intents().size(), 1U);
    EXPECT_EQ(store->open_intents()[0].intent.template_hash, "before the edit");
}

TEST_F(StoreTest, IntentsBelongToTheirStudy) {
    auto first = open("first");
    auto second = open("second");
    first->begin({"a=1", "edition", sample_environment(), "boot"});
    EXPECT_THAT(second->open_intents(), IsEmpty());
}

TEST_F(StoreTest, FreshDrawsNeverRepeat) {
    auto store = open();
    EXPECT_EQ(store->fresh_draw(), kFirstFreshDraw);
    EXPECT_EQ(store->fresh_draw(), kFirstFreshDraw + 1);
    store.reset();
    EXPECT_EQ(open()->fresh_draw(), kFirstFreshDraw + 2);
}

TEST_F(StoreTest, TsvIsTheContractsTable) {
    auto store = open();
    store->finish(sample_record(0, Status::keep, 0.046812), {});
    IterationRecord record = sample_record(1, Status::keep, 0.04);
    record.delta_ms = -2.2;
    record.description = "tabs\tand\nlines\r\nbecome spaces ";
    store->finish(record, {});
    IterationRecord crash = sample_crash(2);
    crash.params = "";
    crash.description = "";
    store->finish(crash, {});
    EXPECT_EQ(store->tsv_path(), folder.path() / "results" / "flagship" / "iters.tsv");
    EXPECT_EQ(read_file(store->tsv_path()),
              "iter\tgeomean_ms\tdelta_ms\twindow_ms\tglobal_ms\tretrieval_ms\tstatus\tparams\tdescription\n"
              "1\t0.046812\t-\t0.023406\t0.046812\t0.093624\tkeep\ttile_n=32,stages=1,exp=native\t"
              "stages 0 to 1: more loads in flight\n"
              "2\t0.040000\t-2.200000\t0.020000\t0.040000\t0.080000\tkeep\ttile_n=64,stages=1,exp=native\t"
              "tabs and lines  become spaces\n"
              "3\t-\t-\t-\t-\t-\tcrash\t-\t-\n");
}

TEST_F(StoreTest, SeveralDatabasesInOneFolderKeepTheirFilesApart) {
    auto first = open();
    Store second(folder.path() / "results" / "robust.db");
    second.open_study(sample_study(), tmpl);  // and nobody holds its lock
    first->finish(sample_record(0), {});
    first->finish(sample_record(1), {});
    second.finish(sample_record(2), {});
    EXPECT_EQ(second.tsv_path(), folder.path() / "results" / "flagship" / "robust.iters.tsv");
    const auto lines = [](const std::filesystem::path& path) {
        const std::string text = read_file(path);
        return std::count(text.begin(), text.end(), '\n');
    };
    EXPECT_EQ(lines(first->tsv_path()), 3);
    EXPECT_EQ(lines(second.tsv_path()), 2);
}

TEST_F(StoreTest, ALinkToADatabaseIsNoSecondDatabase) {
    auto store = open();
    const auto link = folder.path() / "link.db";
    std::filesystem::create_symlink(db_path(), link);
    EXPECT_THAT(message_of<EnvironmentError>([&] { Store(link).open_study(sample_study(), tmpl); }),
                HasSubstr("is being written by process"));
    store.reset();
    Store linked(link);
    linked.open_study(sample_study(), tmpl);
    EXPECT_EQ(linked.tsv_path(), folder.path() / "results" / "flagship" / "iters.tsv");
}

TEST_F(StoreTest, ValuesThatAreNoNumbersAreDashes) {
    auto store = open();
    IterationRecord record = sample_record(0);
    record.geomean_ms = std::numeric_limits<double>::quiet_NaN();
    record.delta_ms = std::numeric_limits<double>::infinity();
    store->finish(record, {});
    EXPECT_THAT(read_file(store->tsv_path()), HasSubstr("\n1\t-\t-\t"));
}

TEST_F(StoreTest, TsvIsRebuiltByteForByteWhateverHappenedToIt) {
    auto store = open();
    const auto path = store->tsv_path();
    for (int i = 0; i < 20; ++i)
        store->finish(sample_record(i), sample_sources(i));
    const std::string whole = read_file(path);
    store.reset();
    const auto damage = [&](const std::string& text) { std::ofstream(path, std::ios::binary) << text; };
    std::string flipped = whole;
    flipped[whole.size() / 2] ^= 1;
    for (const std::string& damaged :
         {whole.substr(0, whole.size() - 7), whole + "21\ttorn", std::string(), flipped, whole + whole}) {
        damage(damaged);
        open();
        EXPECT_EQ(read_file(path), whole);
    }
    std::filesystem::remove(path);
    open();
    EXPECT_EQ(read_file(path), whole);
}

TEST_F(StoreTest, TsvTouchedWhileTheStudyIsOpenIsRepairedByTheNextIteration) {
    auto store = open();
    const auto path = store->tsv_path();
    store->finish(sample_record(0), {});
    std::ofstream(path, std::ios::app) << "2\ttorn";
    store->finish(sample_record(1), {});
    const std::string repaired = read_file(path);
    EXPECT_EQ(std::count(repaired.begin(), repaired.end(), '\n'), 3);
    EXPECT_THAT(repaired, Not(HasSubstr("torn")));
    std::filesystem::remove(path);
    store->finish(sample_record(2), {});
    std::filesystem::copy_file(path, folder.path() / "copy");
    store->sync_tsv();
    EXPECT_EQ(read_file(path), read_file(folder.path() / "copy"));
}

TEST_F(StoreTest, TsvIsNotRewrittenWhenItIsRight) {
    auto store = open();
    store->finish(sample_record(0), {});
    store->finish(sample_record(1), {});
    // A hard link shares the file that is appended to and loses one that is replaced.
    std::filesystem::create_hard_link(store->tsv_path(), folder.path() / "link");
    store->sync_tsv();
    store->finish(sample_record(2), {});
    EXPECT_EQ(read_file(folder.path() / "link"), read_file(store->tsv_path()));
}

TEST_F(StoreTest, RefusesAStudyThatTunesSomethingElse) {
    open();
    Store store(db_path());
    Study other_cases = sample_study();
    other_cases.suite.cases[1].t_max = 2048;
    EXPECT_THAT(message_of<InputError>([&] { store.open_study(other_cases, tmpl); }),
                AllOf(HasSubstr("'flagship'"), HasSubstr("other cases"), HasSubstr("another name")));
    Study other_template = sample_study();
    other_template.template_name = "sm90_ws";
    EXPECT_THAT(message_of<InputError>([&] { store.open_study(other_template, tmpl); }),
                HasSubstr("tunes template blocks, not sm90_ws"));
    EXPECT_THAT(
        message_of<InputError>([&] { store.open_study(sample_study(), sample_template("blocks", DeviceKind::cuda)); }),
        HasSubstr("is for a cpu device, not cuda"));
}

TEST_F(StoreTest, AStudyMayBeMeasuredAndSearchedDifferently) {
    open()->finish(sample_record(0), {});
    Study study = sample_study();
    study.measure.max_samples = 500;
    study.strategy = "random";
    study.seed = 99;
    study.baseline = "tile_n=128";
    Store store(db_path());
    store.open_study(study, tmpl);
    EXPECT_EQ(store.iterations().size(), 1U);
}

TEST_F(StoreTest, RefusesNamesThatAreNoFolders) {
    Store store(db_path());
    for (const std::string name : {"", "..", "a/b", "A", "a b", "."}) {
        EXPECT_THROW(store.open_study(sample_study(name), tmpl), InputError) << name;
    }
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "results" / "a"));
}

TEST_F(StoreTest, AFailedFinishLeavesNothing) {
    auto store = open();
    store->begin({sample_params(0), sample_record(0).template_hash, sample_environment(), "boot"});
    IterationRecord record = sample_record(0);
    record.cases[2].case_id = "unheard of";
    EXPECT_THROW(store->finish(record, sample_sources(0)), std::logic_error);
    EXPECT_THAT(store->iterations(), IsEmpty());
    EXPECT_EQ(store->open_intents().size(), 1U);
    EXPECT_EQ(store->finish(sample_record(0), sample_sources(0)), 1) << "and the store goes on";
}

TEST_F(StoreTest, AThousandIterationsWithRawSamplesStayBelowFiveMegabytes) {
    {
        auto store = open();
        for (int i = 0; i < 1000; ++i)
            store->finish(sample_record(i), sample_sources(i));
    }
    EXPECT_LT(std::filesystem::file_size(db_path()), 5'000'000U);
    SQLite::Database db(db_path().string());
    EXPECT_EQ(db.execAndGet("SELECT sum(cold_samples) FROM cases").getInt(), 1000 * 3 * 50);
}

}  // namespace
}  // namespace attune
