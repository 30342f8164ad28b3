// docs/agents.md, followed by a scripted agent through the built program: twenty experiments on the CPU device, among
// them a syntax error, a wrong result and a hang.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/shell.h"

namespace attune {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr int kKeep = 0;
constexpr int kBadInput = 2;
constexpr int kDiscard = 10;
constexpr int kCrash = 11;

/// The agent: it knows the program, a study, and what the page for agents says.
class Agent : public testing::Test {
  protected:
    Agent() {
        const char* source = ATTUNE_SOURCE_DIR "/tests/backend/data/naive_cpu";
        std::filesystem::copy(source, folder_.path() / "template");
        json cases = json::array();
        for (const char* family : {"sliding_window", "sliding_window_global", "sliding_window_retrieval"}) {
            cases.push_back({{"case_id", family},
                             {"family", family},
                             {"batch_size", 1},
                             {"num_heads", 1},
                             {"t_max", 256},
                             {"window_blocks", 1},
                             {"global_blocks", 1},
                             {"retrieval_blocks", 1},
                             {"seed", 5}});
        }
        folder_.write("suite.json", cases.dump());
        study_ = folder_.write(
            "agent.json",
            json{{"name", "agent"},
                 {"template", (folder_.path() / "template").string()},
                 {"suite", (folder_.path() / "suite.json").string()},
                 {"space",
                  {{"constraints",
                    {{{"require", "fault == fault_none || threads == 1"}, {"because", "a fault needs one thread"}}}}}},
                 {"measure",
                  {{"draws", 1},
                   {"min_samples", 2},
                   {"max_samples", 3},
                   {"warm_samples", 1},
                   {"min_pairs", 8},
                   {"max_pairs", 8},
                   {"run_timeout_s", 8}}}}
                .dump());
    }

    [[nodiscard]] Ran attune(const std::string& arguments) const {
        return shell(fmt::format("ATTUNE_CACHE={0}/cache ATTUNE_DB={0}/results/attune.db {1} {2}",
                                 folder_.path().string(), ATTUNE_BINARY, arguments));
    }

    /// One experiment; its JSON, with the exit code as "code".
    json attempt(const std::string& settings, const std::string& message, const std::string& edited = "") const {
        std::string arguments = fmt::format("try {} --device cpu --json -m '{}'", study_.string(), message);
        if (!settings.empty()) arguments += " --set " + settings;
        if (!edited.empty()) arguments += " --template " + edited;
        const Ran ran = attune(arguments);
        json result = json::parse(ran.out, nullptr, false);
        EXPECT_TRUE(result.is_object()) << ran.code << ran.out << ran.err;
        if (!result.is_object()) result = json::object();
        result["code"] = ran.code;
        return result;
    }

    /// The source of an iteration with one edit, as a folder.
    [[nodiscard]] std::string edit(const std::string& name, int iter, const std::string& what, const std::string& with,
                                   const std::string& database = {}) const {
        const std::filesystem::path folder = folder_.path() / name;
        const std::string from = database.empty() ? "" : fmt::format(" --db \"{}\"", database);
        const Ran restored = attune(fmt::format("restore {} --study agent --to {}{}", iter, folder.string(), from));
        EXPECT_EQ(restored.code, 0) << restored.err;
        std::filesystem::remove_all(folder / "attune");
        std::filesystem::remove(folder / "attune_tune.h");
        std::string text = read_file(folder / "kernel.cpp");
        const auto at = text.find(what);
        EXPECT_NE(at, std::string::npos) << what;
        if (at != std::string::npos) text.replace(at, what.size(), with);
        std::ofstream(folder / "kernel.cpp", std::ios::binary) << text;
        return folder.string();
    }

    TempFolder folder_;
    std::filesystem::path study_;
};

TEST_F(Agent, DrivesTwentyExperimentsAndAllAreOnRecord) {
    std::vector<json> seen;
    for (const int threads : {1, 2}) {
        for (const int unroll : {1, 2, 4, 8}) {
            seen.push_back(attempt(fmt::format("threads={},unroll={}", threads, unroll), "more independent sums"));
            const int code = seen.back()["code"];
            EXPECT_TRUE(code == kKeep || code == kDiscard) << seen.back();
            EXPECT_EQ(seen.back()["status"], code == kKeep ? "keep" : "discard");
            EXPECT_THAT(seen.back()["outcome"], testing::AnyOf("ok", "pruned"));
        }
    }
    EXPECT_EQ(seen.front()["status"], "keep");  // the baseline
    EXPECT_GT(seen.front()["geomean_ms"].get<double>(), 0.0);

    const std::string line = "float total = 0;";
    const json syntax = attempt("", "forgot a bracket", edit("syntax", 1, line, "float total = (0;"));
    EXPECT_EQ(syntax["code"], kCrash);
    EXPECT_EQ(syntax["outcome"], "compile_error");
    EXPECT_THAT(syntax["diagnostics"].get<std::string>(), HasSubstr("kernel.cpp"));

    const json wrong = attempt("", "starts the sum at one", edit("wrong", 1, line, "float total = 1;"));
    EXPECT_EQ(wrong["code"], kCrash);
    EXPECT_EQ(wrong["outcome"], "incorrect");

    const json hang = attempt("", "waits for nobody",
                              edit("hang", 1, line, "float total = 0; for (volatile int spin = 0;; spin = 0) {}"));
    EXPECT_EQ(hang["code"], kCrash);
    EXPECT_EQ(hang["outcome"], "timeout");
    for (const json& crash : {syntax, wrong, hang}) {
        EXPECT_EQ(crash["status"], "crash");
        EXPECT_TRUE(crash["geomean_ms"].is_null());
        EXPECT_THAT(crash["reproduce"].get<std::string>(), HasSubstr("attune try"));
        seen.push_back(crash);
    }

    const std::string edited = edit("edited", 1, line, "float total = 0;  // the same again");
    for (const int threads : {1, 2}) {
        for (const int unroll : {1, 2, 4, 8}) {
            seen.push_back(attempt(fmt::format("threads={},unroll={}", threads, unroll), "after an edit", edited));
            EXPECT_THAT(seen.back()["outcome"], testing::AnyOf("ok", "pruned")) << seen.back();
        }
    }
    seen.push_back(attempt("", "another edit", edit("last", 1, line, "float total = 0;  // and again")));
    EXPECT_THAT(seen.back()["outcome"], testing::AnyOf("ok", "pruned"));

    const json rows = json::parse(attune("query --study agent --sort iter --limit 0 --columns all --format json").out);
    ASSERT_GE(rows.size(), 20U);
    for (const json& result : seen) {
        const json& row = rows.at(result["iter"].get<std::size_t>() - 1);
        EXPECT_EQ(row["status"], result["status"]);
        EXPECT_EQ(row["params"], result["params"]);
        EXPECT_EQ(row["description"], result["description"]);
    }
    const Ran best = attune("best --study agent --json");
    EXPECT_EQ(best.code, 0) << best.err;
    const std::string tsv = read_file(folder_.path() / "results/agent/iters.tsv");
    EXPECT_EQ(static_cast<std::size_t>(std::count(tsv.begin(), tsv.end(), '\n')), rows.size() + 1);
}

TEST_F(Agent, TheRecordedCommandRepeatsTheExperimentWhereverItsFilesLie) {
    const std::filesystem::path place = folder_.path() / "the agent's place";
    std::filesystem::create_directories(place);
    const std::string database = (place / "attune.db").string();
    const auto rows = [&] {
        return json::parse(
            attune(fmt::format("query --study agent --sort iter --columns all --format json --db \"{}\"", database))
                .out);
    };
    const auto repeat_last = [&](const std::string& arguments) {
        const Ran first = attune(fmt::format("try {} --db \"{}\"", arguments, database));
        EXPECT_TRUE(first.code == kKeep || first.code == kDiscard) << first.err;
        const json last = rows().back();
        const auto command = last["reproduce"].get<std::string>();
        EXPECT_TRUE(command.starts_with("attune ")) << command;
        const Ran again = attune(fmt::format("{} --db \"{}\"", command.substr(7), database));
        EXPECT_TRUE(again.code == kKeep || again.code == kDiscard) << command << again.err;
        const json all = rows();
        EXPECT_EQ(all.back()["iter"], last["iter"].get<int>() + 1) << command;
        for (const char* column : {"params", "template_hash"})
            EXPECT_EQ(all.back()[column], last[column]) << command;
        return all.back();
    };
    std::filesystem::copy(study_, place / "study.json");
    const std::string study = fmt::format("\"{}\" --device cpu -m x", (place / "study.json").string());
    const json plain = repeat_last(study + " --set unroll=2");
    EXPECT_EQ(plain["params"], "threads=1,unroll=2,fault=none");

    const std::string edited = edit("edited", 1, "float total = 0;", "float total = 0;  // edited", database);
    std::filesystem::rename(edited, place / "edited");
    const json of_edited = repeat_last(fmt::format("{} --template \"{}\"", study, (place / "edited").string()));
    EXPECT_NE(of_edited["template_hash"], plain["template_hash"]);
}

TEST_F(Agent, IsToldWhatToWriteInstead) {
    ASSERT_EQ(attempt("", "baseline")["code"], kKeep);
    const std::string start = fmt::format("try {} --device cpu -m x ", study_.string());
    for (const auto& [arguments, word] :
         {std::pair{"--set unrol=2", "unroll"}, std::pair{"--set unroll=3", "1, 2, 4, 8"},
          std::pair{"--set fault=hang,threads=2", "not legal on native: a fault needs one thread"},
          std::pair{"--set unroll=1", "--remeasure"}, std::pair{"--template /nowhere", "/nowhere"}}) {
        const Ran ran = attune(start + arguments);
        EXPECT_EQ(ran.code, kBadInput) << arguments << ran.err;
        EXPECT_THAT(ran.err, HasSubstr(word)) << arguments;
        EXPECT_THAT(ran.out, testing::IsEmpty()) << arguments;
    }
    EXPECT_EQ(json::parse(attune("query --study agent --format json").out).size(), 1U);
}

}  // namespace
}  // namespace attune
