// Merging: the same whatever the order and the number of times, all or nothing, nothing renumbered.
#include "store/merge.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include "core/error.h"
#include "core/message_of.h"
#include "core/temp_folder.h"
#include "store/database.h"
#include "store/reader.h"
#include "store/sample_record.h"

namespace attune {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Paths = std::vector<std::filesystem::path>;

class MergeTest : public ::testing::Test {
  protected:
    std::filesystem::path at(const std::string& name) const { return folder.path() / name; }

    /// Adds iterations first … last - 1 to study `name` of database `file`.
    std::filesystem::path fill(const std::string& file, int first, int last, const std::string& name = "flagship",
                               const std::string& uuid = "GPU-1") {
        Store store(at(file));
        store.open_study(sample_study(name), tmpl);
        for (int i = first; i < last; ++i) {
            IterationRecord record = i % 5 == 4 ? sample_crash(i, fmt::format("error {}", i % 10)) : sample_record(i);
            record.environment.device_uuid = uuid;
            if (i % 4 == 1) record.stresses = {{"g", Stress::peaked, {true, 1e-3, 0.5, 1e-6, 0.25, 0, 0, true, ""}}};
            if (i % 4 == 2) record.stresses = {{"r", Stress::large_v, {false, 1.0, 5.0, 1.0, 2.0, 3, 4, false, "no"}}};
            store.finish(record, sample_sources(i / 3));
        }
        return at(file);
    }

    /// Everything a person can see, in an order that does not depend on ids.
    static std::string content(const std::filesystem::path& path) {
        std::string all;
        SQLite::Database db = open_for_reading(path);
        for (const std::string table :
             {"iterations", "cases", "stresses", "kernels", "sources", "params", "best", "study", "shard", "suite_case",
              "environment", "build", "edition", "content", "source"}) {
            SQLite::Statement names(
                db, fmt::format("SELECT group_concat(name) FROM pragma_table_info('{}') WHERE name NOT IN "
                                "('id', 'study_id')",
                                table));
            names.executeStep();
            const std::string columns = names.getColumn(0).getString();
            SQLite::Statement select(db, fmt::format("SELECT {} FROM {} ORDER BY {}", columns, table, columns));
            while (select.executeStep()) {
                all += table;
                for (int i = 0; i < select.getColumnCount(); ++i) {
                    const auto value = select.getColumn(i);
                    all += value.isNull() ? "|NULL" : "|" + value.getString();
                }
                all += '\n';
            }
        }
        EXPECT_EQ(db.execAndGet("SELECT count(*) FROM pragma_foreign_key_check").getInt(), 0);
        EXPECT_EQ(db.execAndGet("PRAGMA integrity_check").getString(), "ok");
        return all;
    }
    std::string merged(const std::string& into, const Paths& inputs) {
        (void)merge_databases(inputs, at(into));
        return content(at(into));
    }

    TempFolder folder;
    KernelTemplate tmpl = sample_template();
};

TEST_F(MergeTest, OneDatabaseMergedIsItself) {
    const auto a = fill("a.db", 0, 40);
    fill("a.db", 0, 7, "second");
    EXPECT_EQ(merged("all.db", {a}), content(a));
}

TEST_F(MergeTest, OrderGroupingAndRepetitionDoNotMatter) {
    const auto a = fill("a.db", 0, 30);
    const auto b = fill("b.db", 20, 60);
    const auto c = fill("c.db", 10, 25, "other");
    const std::string all = merged("all.db", {a, b, c});
    EXPECT_EQ(merged("all.db", {a, b, c}), all) << "idempotent";
    EXPECT_EQ(merged("reversed.db", {c, b, a}), all) << "commutative";
    (void)merged("ab.db", {a, b});
    EXPECT_EQ(merged("left.db", {at("ab.db"), c}), all) << "associative";
    (void)merged("bc.db", {b, c});
    EXPECT_EQ(merged("right.db", {a, at("bc.db")}), all);
    EXPECT_EQ(merged("overlapping.db", {at("bc.db"), at("ab.db"), a}), all);
    merged("stepwise.db", {a});
    merged("stepwise.db", {b});
    EXPECT_EQ(merged("stepwise.db", {c}), all);
}

TEST_F(MergeTest, NothingIsRenumberedAndProvenanceIsKept) {
    const auto a = fill("a.db", 0, 5);
    const auto b = fill("b.db", 0, 8);
    const auto summaries = merge_databases(Paths{a, b}, at("all.db"));
    ASSERT_EQ(summaries.size(), 2U);
    EXPECT_EQ(summaries[0].added, 5);
    EXPECT_EQ(summaries[1].added, 8);
    const Reader reader(at("all.db"));
    const StudyInfo study = reader.study("");
    ASSERT_EQ(study.shards.size(), 2U);
    EXPECT_EQ(study.iterations(), 13);
    const std::string uid = Reader(a).study("").shards[0].uid;
    const IterationKey key = reader.resolve(fmt::format("flagship@{}:5", uid.substr(0, 4)));
    EXPECT_EQ(key.shard, uid);
    EXPECT_EQ(reader.iteration(key).record.params, Reader(a).iteration({"flagship", uid, 5}).record.params);
    EXPECT_EQ(reader.short_name(key), fmt::format("flagship@{}:5", uid.substr(0, 4)));
    EXPECT_THAT(message_of<InputError>([&] { (void)reader.resolve("5"); }),
                AllOf(HasSubstr("several shards"), HasSubstr("a.db on"), HasSubstr("8 iterations")));
    EXPECT_THAT(message_of<InputError>([&] { (void)reader.resolve("flagship@zz:5"); }), HasSubstr("no shard zz"));
}

TEST_F(MergeTest, ALaterMergeBringsWhatIsNew) {
    const auto a = fill("a.db", 0, 10);
    (void)merge_databases(Paths{a}, at("all.db"));
    fill("a.db", 10, 25);
    const auto summaries = merge_databases(Paths{a}, at("all.db"));
    EXPECT_EQ(summaries[0].added, 15);
    EXPECT_EQ(summaries[0].present, 10);
    EXPECT_EQ(content(at("all.db")), content(a));
}

TEST_F(MergeTest, ReadsAShardThatIsBeingTuned) {
    const auto a = fill("a.db", 0, 3);
    Store live(a);
    live.open_study(sample_study(), tmpl);
    live.finish(sample_record(3), {});
    EXPECT_EQ(merge_databases(Paths{a}, at("all.db"))[0].added, 4);
    EXPECT_EQ(live.finish(sample_record(4), {}), 5);
}

// What `VACUUM INTO` or a backup leaves has no write-ahead log.
TEST_F(MergeTest, AnInputOfAnotherJournalModeIsReadAsItIs) {
    const auto a = fill("a.db", 0, 10);
    SQLite::Database(a.string(), SQLite::OPEN_READWRITE).exec("PRAGMA journal_mode = DELETE");
    const std::string before = read_file(a);
    EXPECT_EQ(merge_databases(Paths{a}, at("all.db"))[0].added, 10);
    EXPECT_EQ(read_file(a), before);
}

TEST_F(MergeTest, VersionOneIsMergedAsItIs) {
    const auto a = fill("a.db", 0, 10);
    const auto b = fill("b.db", 10, 15);
    make_version_one(a);
    const std::vector<MergeSummary> merged = merge_databases(Paths{a, b}, at("all.db"));
    EXPECT_EQ(merged[0].added + merged[1].added, 15);
    EXPECT_EQ(SQLite::Database(a.string()).execAndGet("PRAGMA user_version").getInt(), 1);
    make_version_one(at("all.db"));
    EXPECT_EQ(merge_databases(Paths{b}, at("all.db"))[0].present, 5) << "into one, too";
}

TEST_F(MergeTest, DatabasesOfOtherVersionsAreRefusedWithAdvice) {
    const auto a = fill("a.db", 0, 2);
    const auto b = fill("b.db", 2, 4);
    const int version = open_for_reading(a).execAndGet("PRAGMA user_version").getInt();
    const auto refusal = [&](int other) {
        SQLite::Database(b.string(), SQLite::OPEN_READWRITE).exec(fmt::format("PRAGMA user_version = {}", other));
        return message_of<EnvironmentError>([&] { (void)merge_databases(Paths{a, b}, at("all.db")); });
    };
    EXPECT_THAT(refusal(version + 1), AllOf(HasSubstr("b.db"), HasSubstr("newer attune"), HasSubstr("update attune")));
    EXPECT_THAT(refusal(0), AllOf(HasSubstr("b.db"), HasSubstr("older attune"), HasSubstr("run `attune tune`")));
    EXPECT_FALSE(std::filesystem::exists(at("all.db")));
}

TEST_F(MergeTest, CopiesTunedApartAreAConflictAndNothingIsWritten) {
    const auto a = fill("a.db", 0, 10);
    std::filesystem::copy_file(a, at("b.db"));
    fill("a.db", 10, 12);
    fill("b.db", 20, 25);
    const std::string said = message_of<InputError>([&] { (void)merge_databases(Paths{a, at("b.db")}, at("all.db")); });
    EXPECT_THAT(said,
                AllOf(HasSubstr("from iteration 11 on"), HasSubstr("'flagship'"), HasSubstr("both copies were tuned")));
    EXPECT_FALSE(std::filesystem::exists(at("all.db")));
    (void)merge_databases(Paths{a}, at("all.db"));
    const std::string before = content(at("all.db"));
    EXPECT_THROW((void)merge_databases(Paths{fill("c.db", 0, 3), at("b.db")}, at("all.db")), InputError);
    EXPECT_EQ(content(at("all.db")), before) << "not even the input before the conflict";
}

TEST_F(MergeTest, StudiesThatDifferUnderOneNameAreAConflict) {
    const auto a = fill("a.db", 0, 2);
    {
        Study study = sample_study();
        study.suite.cases.pop_back();
        Store(at("b.db")).open_study(study, tmpl);
        study = sample_study();
        study.template_name = "other";
        Store(at("c.db")).open_study(study, tmpl);
    }
    EXPECT_THAT(message_of<InputError>([&] {
                    (void)merge_databases(Paths{a, at("b.db")}, at("all.db"));
                }),
                AllOf(HasSubstr("different cases"), HasSubstr("b.db"), HasSubstr("another name")));
    EXPECT_THAT(message_of<InputError>([&] {
                    (void)merge_databases(Paths{a, at("c.db")}, at("all.db"));
                }),
                HasSubstr("different templates or devices"));
}

TEST_F(MergeTest, BadInputsAreNamed) {
    const auto a = fill("a.db", 0, 2);
    EXPECT_THAT(message_of<InputError>([&] { (void)merge_databases(Paths{at("none.db")}, at("all.db")); }),
                HasSubstr("none.db"));
    EXPECT_THAT(message_of<InputError>([&] { (void)merge_databases(Paths{a}, a); }), HasSubstr("leave it out"));
    EXPECT_THAT(message_of<InputError>([&] { (void)merge_databases(Paths(11, a), at("all.db")); }),
                HasSubstr("10 at a time"));
    folder.write("text.db", "no database");
    EXPECT_THAT(message_of<EnvironmentError>([&] { (void)merge_databases(Paths{at("text.db")}, at("all.db")); }),
                HasSubstr("text.db"));
    EXPECT_FALSE(std::filesystem::exists(at("all.db")));
}

TEST_F(MergeTest, ADamagedInputChangesNothing) {
    const auto a = fill("a.db", 0, 100);
    std::string bytes = read_file(a);
    for (std::size_t i = bytes.size() / 2; i < bytes.size(); ++i)
        bytes[i] = static_cast<char>(i * 13);
    folder.write("broken.db", bytes);
    EXPECT_THROW((void)merge_databases(Paths{a, at("broken.db")}, at("all.db")), EnvironmentError);
    EXPECT_FALSE(std::filesystem::exists(at("all.db")));
}

TEST_F(MergeTest, AStudyOfSeveralShardsIsNotTunedOn) {
    (void)merge_databases(Paths{fill("a.db", 0, 2), fill("b.db", 0, 2)}, at("all.db"));
    Store store(at("all.db"));
    EXPECT_THAT(message_of<InputError>([&] { store.open_study(sample_study(), tmpl); }), HasSubstr("several shards"));
    (void)merge_databases(Paths{at("a.db")}, at("one.db"));
    Store one(at("one.db"));
    one.open_study(sample_study(), tmpl);
    EXPECT_EQ(one.finish(sample_record(2), {}), 3);
}

TEST_F(MergeTest, SeveralDevicesAreRemarked) {
    (void)merge_databases(Paths{fill("a.db", 0, 4)}, at("all.db"));
    EXPECT_THAT(merge_remarks(at("all.db")), IsEmpty());
    (void)merge_databases(Paths{fill("b.db", 0, 4, "flagship", "GPU-2")}, at("all.db"));
    const auto remarks = merge_remarks(at("all.db"));
    ASSERT_EQ(remarks.size(), 1U);
    EXPECT_THAT(remarks[0],
                AllOf(HasSubstr("'flagship'"), HasSubstr("GPU-1"), HasSubstr("GPU-2"), HasSubstr("2 devices")));
}

TEST_F(MergeTest, AMergeKilledAtAnyInstantCanBeRepeated) {
    const auto a = fill("a.db", 0, 300);
    const auto b = fill("b.db", 300, 600);
    const std::string all = merged("whole.db", {a, b});
    std::uint32_t state = 12345;
    for (int round = 0; round < 12; ++round) {
        const std::string into = fmt::format("killed{}.db", round);
        (void)merge_databases(Paths{fill("first.db", 0, round == 0 ? 2 : 0, "first")}, at(into));
        const pid_t child = ::fork();
        if (child == 0) {
            (void)merge_databases(Paths{a, b}, at(into));
            ::_exit(0);
        }
        state = state * 1664525 + 1013904223;
        ::usleep(state % 60'000);
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        (void)merge_databases(Paths{a, b}, at(into));
        SQLite::Database db = open_for_reading(at(into));
        EXPECT_EQ(db.execAndGet("SELECT count(*) FROM iterations WHERE study = 'flagship'").getInt(), 600);
        EXPECT_EQ(db.execAndGet("PRAGMA integrity_check").getString(), "ok");
    }
    EXPECT_EQ(merged("again.db", {a, b}), all);
}

}  // namespace
}  // namespace attune
