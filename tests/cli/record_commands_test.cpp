// query, show, diff, best, restore and merge, as a person runs them: through the built program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "core/temp_folder.h"
#include "store/sample_record.h"
#include "store/store.h"

namespace attune {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class RecordCommandsTest : public ::testing::Test {
  protected:
    std::filesystem::path db() const { return folder.path() / "attune.db"; }

    /// Three studies' worth of typical rows: a baseline, a better one, a near miss, a compile error.
    void fill(const std::string& name = "flagship", const std::string& uuid = "GPU-1",
              const std::string& file = "attune.db") {
        Store store(folder.path() / file);
        store.open_study(sample_study(name), sample_template());
        const auto finish = [&](IterationRecord record, int n) {
            record.environment.device_uuid = uuid;
            store.finish(record, sample_sources(n));
        };
        finish(sample_record(0, Status::keep, 0.06), 0);
        IterationRecord better = sample_record(1, Status::keep, 0.05);
        better.delta_ms = -0.01;
        finish(better, 1);
        IterationRecord close = sample_record(2, Status::discard, 0.051);
        close.robust = true;
        close.family_ms = {0.0255, 0.049, 0.11};
        finish(close, 2);
        finish(sample_crash(3), 3);
    }

    Ran run(const std::vector<std::string>& arguments, bool terminal = false, int width = 80) const {
        return testing::run_attune(arguments, db(), terminal ? width : 0);
    }

    TempFolder folder;
};

TEST_F(RecordCommandsTest, QueryGivesTsvIntoAPipe) {
    fill();
    const Ran said = run({"query"});
    EXPECT_EQ(said.code, 0) << said.err;
    EXPECT_THAT(
        said.lines(),
        ElementsAre("iter\tstatus\toutcome\tgeomean_ms\tdelta_ms\tparams\tdescription",
                    "1\tkeep\tok\t0.06\t-\ttile_n=32,stages=1,exp=native\tstages 0 to 1: more loads in flight",
                    "2\tkeep\tok\t0.05\t-0.01\ttile_n=64,stages=1,exp=native\tstages 1 to 2: more loads in flight",
                    StartsWith("3\tdiscard\tok\t0.051\t"), StartsWith("4\tcrash\tcompile_error\t-\t-\t")));
}

TEST_F(RecordCommandsTest, QueryFiltersSortsAndLimits) {
    fill();
    const auto iters = [&](std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), "query");
        arguments.insert(arguments.end(), {"--columns", "iter"});
        const Ran said = run(arguments);
        EXPECT_EQ(said.code, 0) << said.err;
        auto lines = said.lines();
        lines.erase(lines.begin());
        return lines;
    };
    EXPECT_THAT(iters({"--status", "keep"}), ElementsAre("1", "2"));
    EXPECT_THAT(iters({"--where", "registers >= 101 OR outcome = 'compile_error'"}), ElementsAre("2", "3", "4"));
    EXPECT_THAT(iters({"--sort", "geomean_ms"}), ElementsAre("2", "3", "1", "4")) << "missing last";
    EXPECT_THAT(iters({"--sort", "geomean_ms:desc"}), ElementsAre("1", "3", "2", "4")) << "missing last";
    EXPECT_THAT(iters({"--limit", "0"}), ElementsAre("1", "2", "3", "4"));
    EXPECT_THAT(iters({"--limit", "4"}), ElementsAre("1", "2", "3", "4"));
    EXPECT_THAT(run({"query", "--columns", "iter, status", "--limit", "1"}).lines()[0], "iter\tstatus");
    const Ran limited = run({"query", "--limit", "2"});
    EXPECT_EQ(limited.lines().size(), 3U);
    EXPECT_THAT(limited.err, HasSubstr("the first 2 rows; --limit 0")) << "a cut is never silent";
    EXPECT_THAT(run({"query", "--limit", "4"}).err, IsEmpty());
}

TEST_F(RecordCommandsTest, QueryOfSeveralStudiesNamesThem) {
    fill();
    fill("second");
    const Ran all = run({"query", "--status", "keep"});
    EXPECT_THAT(all.lines(),
                ElementsAre(StartsWith("study\titer\t"), StartsWith("flagship\t1\t"), StartsWith("flagship\t2\t"),
                            StartsWith("second\t1\t"), StartsWith("second\t2\t")));
    EXPECT_EQ(run({"query", "--limit", "6"}).lines().size(), 7U) << "one limit over all studies";
    EXPECT_EQ(run({"query", "--study", "second"}).lines().size(), 5U);
    EXPECT_THAT(run({"query", "--study", "secnd"}).err, HasSubstr("did you mean 'second'"));
}

TEST_F(RecordCommandsTest, QueryFormats) {
    fill();
    const auto json = nlohmann::json::parse(run({"query", "--format", "json", "--columns", "all"}).out);
    ASSERT_EQ(json.size(), 4U);
    EXPECT_EQ(json[1]["geomean_ms"], 0.05);
    EXPECT_TRUE(json[3]["geomean_ms"].is_null());
    EXPECT_EQ(json[3]["diagnostics"], "kernel.cpp(3): error: no\n");
    EXPECT_EQ(nlohmann::json::parse(run({"query", "--format", "json", "--where", "iter > 9"}).out).size(), 0U);
    const auto samples = nlohmann::json::parse(
        run({"query", "--format", "json", "--sql", "SELECT cold_ms FROM cases WHERE iter = 1 AND case_id = 'g'"}).out);
    EXPECT_EQ(samples[0]["cold_ms"].size(), 50U);
    EXPECT_FLOAT_EQ(samples[0]["cold_ms"][0].get<float>(), 0.06F);
    EXPECT_EQ(run({"query", "--format", "csv", "--columns", "iter,params,delta_ms", "--where", "iter < 3"}).out,
              "iter,params,delta_ms\r\n1,\"tile_n=32,stages=1,exp=native\",\r\n2,\"tile_n=64,stages=1,exp=native\",-0."
              "01\r\n");
    EXPECT_EQ(run({"query", "--format", "csv", "--sql", "SELECT 'say \"no\"' AS a"}).out,
              "a\r\n\"say \"\"no\"\"\"\r\n");
}

TEST_F(RecordCommandsTest, TablesFitTheTerminal) {
    fill();
    for (const int width : {60, 80, 120}) {
        const Ran said = run({"query"}, true, width);
        for (const std::string& line : said.lines()) {
            const auto columns = std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; });
            EXPECT_LE(columns, width) << line;
        }
        if (width == 120) {
            EXPECT_THAT(said.out, HasSubstr("-0.010000"));
        }
    }
    EXPECT_EQ(run({"query", "--where", "iter > 9", "--columns", "all"}, true, 80).err, "attune: no rows\n");
    // Forty columns cannot stand side by side: one line each then.
    const Ran upright = run({"query", "--columns", "all", "--where", "iter = 2"}, true, 80);
    EXPECT_THAT(upright.out, HasSubstr("\ngeomean_ms           0.050000\n"));
}

TEST_F(RecordCommandsTest, QueryMistakesAreBadInput) {
    fill();
    for (const auto& [arguments, hint] : std::vector<std::pair<std::vector<std::string>, std::string>>{
             {{"query", "--sort", "geomen_ms"}, "did you mean 'geomean_ms'"},
             {{"query", "--columns", "iter,nope"}, "--columns nope"},
             {{"query", "--status", "kept"}, "keep, discard or crash"},
             {{"query", "--format", "xml"}, "table, tsv, csv, json"},
             {{"query", "--sort", "geomean_ms:asc"}, "COLUMN:desc"},
             {{"query", "--limit", "-1"}, "--limit: '-1' will not do; write a whole number from 0 on"},
             {{"query", "--limit", "ten"}, "--limit: 'ten' will not do"},
             {{"query", "--time-limit", "-4"}, "--time-limit: '-4' will not do; write a number greater than 0"},
             {{"query", "--sql", ""}, "the query is empty"},
             {{"query", "--format", "json", "--sql", "SELECT 1 AS a, 2 AS a"}, "two columns are called a"},
             {{"query", "--stuyd", "flagship"}, "attune: query has no option --stuyd; did you mean '--study'?"},
             {{"query", "flagship"}, "attune: query: nothing is known of 'flagship'; see `attune query --help`"},
             {{"show"}, "attune: show: iteration is required; see `attune show --help`"},
             {{"replay", "flagship", "--runs", "0"}, "write a whole number from 1 on"},
             {{"report", "--to", "/"}, "--to / is a folder"},
             {{"query", "--where", "registers <"}, "SQLite does not accept"},
             {{"query", "--sql", "DELETE FROM iteration"}, "only reading"},
             {{"query", "--db", "none.db"}, "none.db"}}) {
        const Ran said = run(arguments);
        EXPECT_EQ(said.code, 2);
        EXPECT_THAT(said.err, HasSubstr(hint));
        EXPECT_THAT(said.out, IsEmpty());
    }
}

TEST_F(RecordCommandsTest, ShowTellsAnIterationInFull) {
    fill();
    const Ran said = run({"show", "2"});
    EXPECT_EQ(said.code, 0) << said.err;
    for (const char* expected : {"flagship iteration 2: keep (ok)", "tile_n=64,stages=1,exp=native",
                                 "0.050000 ms  delta -0.010000 ms", "attention: 101 registers", "NVIDIA H200 (GPU-1)",
                                 "NVRTC 13.0", "kernel.cpp (20000 bytes)", "attune restore 2 --to DIR", "passed"}) {
        EXPECT_THAT(said.out, HasSubstr(expected));
    }
    EXPECT_THAT(run({"show", "4"}).out, HasSubstr("kernel.cpp(3): error: no"));
    const auto json = nlohmann::json::parse(run({"show", "flagship:2", "--json"}).out);
    EXPECT_EQ(json["cases"][1]["cold_ms"].size(), 50U);
    EXPECT_EQ(json["sources"]["kernel.cpp"].get<std::string>().size(), 20000U);
    EXPECT_EQ(json["environment"]["device_uuid"], "GPU-1");
    EXPECT_EQ(run({"show", "5"}).code, 2);
}

TEST_F(RecordCommandsTest, DiffPutsTwoIterationsSideBySide) {
    fill();
    const Ran said = run({"diff", "1", "2"});
    EXPECT_EQ(said.code, 0) << said.err;
    EXPECT_THAT(said.out, HasSubstr("parameters that differ"));
    EXPECT_THAT(said.out, ::testing::ContainsRegex("tile_n +32 +64"));
    EXPECT_THAT(said.out, Not(HasSubstr("\n  stages"))) << "the same in both";
    EXPECT_THAT(said.out, ::testing::ContainsRegex("score +0.060000 +0.050000 +0.8333"));
    EXPECT_THAT(said.out, ::testing::ContainsRegex("w cold +0.030000 +0.025000 +0.8333"));
    EXPECT_THAT(said.out, ::testing::ContainsRegex("attention registers +100 +101"));
    EXPECT_THAT(said.out, HasSubstr("--- 1/attune_tune.h\n+++ 2/attune_tune.h\n@@ -1,"));
    EXPECT_THAT(said.out, HasSubstr("\n-    static constexpr int knob_0 = 0;\n"));
    EXPECT_THAT(said.out, Not(HasSubstr("/kernel.cpp"))) << "the same in both";
    EXPECT_THAT(run({"diff", "2", "2"}).out, AllOf(HasSubstr("parameters: the same"), HasSubstr("sources: the same")));
    EXPECT_THAT(run({"diff", "1", "4"}).out, ::testing::ContainsRegex("score +0.060000 +- +-\n"));
    fill("second", "GPU-2");
    EXPECT_THAT(run({"diff", "flagship:1", "second:1"}).err, HasSubstr("different devices"));
}

TEST_F(RecordCommandsTest, BestNamesTheWinnerAndHowToGetIt) {
    fill();
    const Ran said = run({"best"}, true);
    EXPECT_EQ(said.code, 0) << said.err;
    EXPECT_THAT(said.out, HasSubstr("flagship iteration 2: 0.050000 ms on NVIDIA H200 (GPU-1)"));
    EXPECT_THAT(said.out, HasSubstr("attune restore 2 --to DIR"));
    EXPECT_THAT(run({"best"}).lines(), ElementsAre(StartsWith("study\titer\t"), StartsWith("flagship\t2\t")));
    EXPECT_EQ(nlohmann::json::parse(run({"best", "--robust", "--json"}).out)[0]["iter"], 3);
    const auto families = nlohmann::json::parse(run({"best", "--per-family", "--json"}).out);
    ASSERT_EQ(families.size(), 3U);
    EXPECT_EQ(families[0]["family"], "sliding_window");
    EXPECT_EQ(families[0]["iter"], 2);
    EXPECT_EQ(families[1]["iter"], 3);
    EXPECT_EQ(families[2]["iter"], 2);
}

TEST_F(RecordCommandsTest, CommandsThatAreToldNameADatabaseThatIsNotTheUsualOne) {
    fill("flagship", "GPU-1", "other one.db");
    const std::string other = (folder.path() / "other one.db").string();
    const std::string option = fmt::format(" --db '{}'", other);
    EXPECT_THAT(run({"best", "--db", other}, true).out, HasSubstr("attune restore 2 --to DIR" + option));
    const Ran shown = run({"show", "2", "--db", other});
    EXPECT_THAT(shown.out, HasSubstr("attune restore 2 --to DIR" + option));
    EXPECT_THAT(shown.out, HasSubstr(sample_params(1) + option)) << "the command that repeats it";
    const auto page = folder.path() / "new" / "page.html";
    const Ran reported = run({"report", "--db", other, "--to", page.string()});
    ASSERT_EQ(reported.code, 0) << reported.err;
    EXPECT_THAT(read_file(page), HasSubstr("export --study flagship --db &#39;" + other + "&#39; --to DIR"));

    fill();
    EXPECT_THAT(run({"show", "2"}).out, Not(HasSubstr("--db")));
}

TEST_F(RecordCommandsTest, BestNeverComparesDevices) {
    {
        Store store(db());
        store.open_study(sample_study(), sample_template());
        for (int i = 0; i < 2; ++i) {
            IterationRecord record = sample_record(i, Status::keep, 0.06 - 0.01 * i);
            record.environment.device_uuid = fmt::format("GPU-{}", i);
            store.finish(record, {});
        }
    }
    const Ran said = run({"best"});
    EXPECT_EQ(said.lines().size(), 3U);
    EXPECT_THAT(said.err, HasSubstr("several devices"));
}

TEST_F(RecordCommandsTest, BestOfNothingFails) {
    { Store(db()).open_study(sample_study(), sample_template()); }
    const Ran said = run({"best"});
    EXPECT_EQ(said.code, 1);
    EXPECT_THAT(said.err, HasSubstr("no kept iteration; `attune query` shows what there is"));
    EXPECT_EQ(run({"best", "--json"}).out, "[]\n");
}

TEST_F(RecordCommandsTest, RestoreBringsTheSourceBack) {
    fill();
    const auto to = folder.path() / "out" / "deeper";
    const Ran said = run({"restore", "3", "--to", to.string()});
    EXPECT_EQ(said.code, 0) << said.err;
    for (const SourceFile& file : sample_sources(2))
        EXPECT_EQ(read_file(to / file.name), file.text) << file.name;
    EXPECT_EQ(said.lines().size(), 4U);
    EXPECT_THAT(run({"restore", "2", "--to", to.string()}).err, HasSubstr("not empty"));
    EXPECT_EQ(read_file(to / "attune_tune.h"), sample_sources(2)[1].text) << "untouched";
    EXPECT_EQ(run({"restore", "2", "--to", to.string(), "--force"}).code, 0);
    EXPECT_EQ(read_file(to / "attune_tune.h"), sample_sources(1)[1].text);
    EXPECT_EQ(run({"restore", "2", "--to", (to / "kernel.cpp").string()}).code, 2) << "a file, not a folder";
}

TEST_F(RecordCommandsTest, RestoreNeverLeavesItsFolder) {
    int n = 0;
    for (const std::string name : {"../escaped", "/tmp/attune-escaped", "a/../../escaped", "a/./b", "..", ""}) {
        const std::string file = fmt::format("evil{}.db", n++);
        {
            Store store(folder.path() / file);
            store.open_study(sample_study(), sample_template());
            store.finish(sample_record(0), {{"good", "1"}, {name, "evil"}});
        }
        const auto to = folder.path() / "to";
        const Ran said = run({"restore", "1", "--to", to.string(), "--db", (folder.path() / file).string()});
        EXPECT_EQ(said.code, 2) << name;
        EXPECT_THAT(said.err, HasSubstr("nothing was written"));
        EXPECT_FALSE(std::filesystem::exists(to)) << name;
    }
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "escaped"));

    fill();  // its bundle has a file attune/attn_args.h
    const auto to = folder.path() / "linked";
    std::filesystem::create_directories(folder.path() / "elsewhere");
    std::filesystem::create_directories(to);
    std::filesystem::create_directory_symlink(folder.path() / "elsewhere", to / "attune");
    EXPECT_NE(run({"restore", "1", "--to", to.string(), "--force"}).code, 0);
    EXPECT_TRUE(std::filesystem::is_empty(folder.path() / "elsewhere"));
}

TEST_F(RecordCommandsTest, MergeJoinsAndSaysWhatItDid) {
    fill("flagship", "GPU-1", "a.db");
    fill("flagship", "GPU-2", "b.db");
    const auto a = (folder.path() / "a.db").string();
    const auto b = (folder.path() / "b.db").string();
    const Ran said = run({"merge", a, b, "--into", db().string()});
    EXPECT_EQ(said.code, 0) << said.err;
    EXPECT_THAT(said.lines(),
                ElementsAre(a + ": 4 iterations added, 0 already there", b + ": 4 iterations added, 0 already there"));
    EXPECT_THAT(said.err, HasSubstr("2 devices"));
    EXPECT_THAT(run({"merge", b, "--into", db().string()}).out, HasSubstr("0 iterations added, 4 already there"));
    const auto best = nlohmann::json::parse(run({"best", "--json"}).out);
    ASSERT_EQ(best.size(), 2U);
    const std::string restore = best[1]["restore"];
    EXPECT_THAT(restore, ::testing::MatchesRegex("attune restore flagship@[0-9a-f]+:2 --to DIR"));
    const std::string name = restore.substr(15, restore.find(" --to") - 15);
    EXPECT_THAT(run({"show", name}).out, HasSubstr("(GPU-2)"));
    EXPECT_THAT(run({"show", "2"}).err, HasSubstr("several shards"));
    EXPECT_THAT(run({"query"}).lines()[0], StartsWith("shard\titer\t"));
}

}  // namespace
}  // namespace attune
