// A space of more than 10^9 combinations is never enumerated: the built program tunes it at once, in little memory.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "faults/program.h"

namespace attune {
namespace {

using nlohmann::json;
using testing::Program;

class HugeSpaceTest : public ::testing::Test {
  protected:
    /// The plain template with three knobs of a thousand values that nothing reads, and which of them `require` leaves.
    [[nodiscard]] std::string write_study(const std::string& require) const {
        namespace fs = std::filesystem;
        fs::copy(ATTUNE_SOURCE_DIR "/tests/backend/data/naive_cpu", workshop_.path("template"),
                 fs::copy_options::recursive);
        json kernel_template = json::parse(read_file(workshop_.path("template/template.json")));
        std::vector<int> values(1000);
        std::iota(values.begin(), values.end(), 0);
        for (const char* name : {"x", "y", "z"}) {
            kernel_template["parameters"].push_back(
                {{"name", name}, {"values", values}, {"default", 1}, {"meaning", "none"}});
        }
        kernel_template["constraints"].push_back({{"require", require}, {"because", "it is a test"}});
        std::ofstream(workshop_.path("template/template.json")) << kernel_template;
        const json study{
            {"name", "huge"},
            {"template", "./template"},
            {"suite", testing::data("tiny_suite.json")},
            {"space", {{"values", {{"fault", {"none"}}}}}},
            {"measure", {{"draws", 1}, {"min_samples", 2}, {"max_samples", 2}, {"min_pairs", 8}, {"max_pairs", 8}}}};
        std::ofstream(workshop_.path("huge.json")) << study;
        return workshop_.path("huge.json").string();
    }

    /// The most memory the coordinator, not what it starts, has held so far.
    static long peak_kb(pid_t pid) {
        const std::string status = read_file("/proc/" + std::to_string(pid) + "/status");
        const auto at = status.find("VmHWM:");
        return at == std::string::npos ? 0 : std::stol(status.substr(at + 6));
    }

    testing::Workshop workshop_;
};

TEST_F(HugeSpaceTest, IsTunedInLittleMemory) {
    Program tune =
        workshop_.start({"tune", write_study("(x * y + z) % 10 == 2"), "--device", "cpu", "--max-iters", "3"});
    long most_kb = 0;
    while (tune.runs_for(std::chrono::milliseconds(5)))
        most_kb = std::max(most_kb, peak_kb(tune.pid()));
    const testing::Ended ended = tune.wait();
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_GT(most_kb, 0);
    EXPECT_LT(most_kb, 200 * 1024);
}

// Whoever looks for a second candidate in a thousand millions is busy for long, and yet hears a stop.
TEST_F(HugeSpaceTest, AStopIsHeardWhileLegalCandidatesAreLookedFor) {
    for (const char* strategy : {"auto", "exhaustive"}) {
        Program tune =
            workshop_.start({"tune", write_study("x * y * z == 1"), "--device", "cpu", "--strategy", strategy});
        const auto tsv = workshop_.path("results/huge/iters.tsv");
        while (read_file(tsv).find("baseline") == std::string::npos)
            ASSERT_TRUE(tune.runs_for(std::chrono::milliseconds(10))) << tune.wait().err;
        EXPECT_TRUE(tune.runs_for(std::chrono::milliseconds(300)));
        tune.signal(SIGTERM);
        EXPECT_EQ(tune.wait().code, 130);
        std::filesystem::remove_all(workshop_.path("template"));
        std::filesystem::remove_all(workshop_.path("results"));
    }
}

}  // namespace
}  // namespace attune
