// Every way we know in which a kernel or its compile goes wrong on a CPU, through the built program: one study tries
// them all, each followed by the same kernel without its fault.

#include "faults/faults.h"

namespace attune {
namespace {

using testing::Ended;
using testing::Expected;
using testing::rows_of;

const std::vector<Expected> kHangs{
    {"compile_endless", "timeout", "no answer within 20 s; the compile worker stopped by the coordinator"},
    {"endless_loop", "timeout", "no answer within 15 s; the device worker stopped by the coordinator"},
    {"chatter", "timeout", "bytes left out"},
};
const std::vector<Expected> kFaults{
    {"compile_error", "compile_error", "the fault that was asked for"},
    {"compile_memory", "compile_error", "memory"},
    {"segfault", "crash", "killed by signal 11"},
    {"write_past_o", "incorrect", "wrote outside o"},
    {"write_before_lse", "incorrect", "wrote outside lse"},
    {"write_input", "crash", "killed by signal 11"},
    {"nan", "incorrect", "nan"},
    {"stale", "incorrect", "nan"},
    {"right_once", "incorrect", "draw 0"},
    {"abort", "crash", "killed by signal 6"},
    {"throw", "crash", "thrown by a kernel"},
    {"stack_overflow", "crash", "killed by signal 11"},
    {"huge_allocation", "crash", "bad_alloc"},
    {"exit_0", "crash", "exited with code 0"},
    {"close_channel", "crash", "the device worker died"},
    {"garble_channel", "crash", "sent something that is no answer"},
};

class CpuFaultsTest : public testing::FaultsTest {
  protected:
    Ended tune(const std::string& study) {
        return workshop_.run({"tune", testing::data(study + ".json"), "--device", "cpu"});
    }
};

TEST_F(CpuFaultsTest, EachBecomesOneCrashAndTheNextCandidateIsHealthy) {
    const Ended ended = tune("cpu_faults");
    ASSERT_EQ(ended.code, 0) << ended.err;
    expect_one_crash_each("cpu_faults", ",idle=0", kFaults);
}

TEST_F(CpuFaultsTest, AHangEndsAtItsDeadlineAndTheNextCandidateIsHealthy) {
    // Compiled beforehand and without haste, the healthy candidates are not what meets the short deadline.
    ASSERT_EQ(tune("cpu_hangs_disarmed").code, 0);
    const Ended ended = tune("cpu_hangs");
    ASSERT_EQ(ended.code, 0) << ended.err;
    expect_one_crash_each("cpu_hangs", ",idle=0", kHangs);
}

TEST_F(CpuFaultsTest, ACompilerThatCrashesIsTheCandidatesFailure) {
    const auto compiler = workshop_.path("c++");
    std::ofstream(compiler) << "#!/bin/sh\ncase \"$*\" in *kernel.cpp) kill -SEGV $$ ;; esac\nexec c++ \"$@\"\n";
    std::filesystem::permissions(compiler, std::filesystem::perms::owner_all);
    const Ended ended = workshop_.run({"tune", testing::data("healthy.json"), "--device", "cpu", "--max-iters", "3"},
                                      [&] { ::setenv("CXX", compiler.c_str(), 1); });
    EXPECT_EQ(ended.code, 0) << ended.err;
    const auto rows = rows_of(workshop_.database(), "healthy");
    EXPECT_EQ(rows.size(), 3U);
    for (const auto& [params, row] : rows) {
        EXPECT_EQ(row.at(0).outcome, "compile_error") << params;
        EXPECT_THAT(row.at(0).diagnostics, ::testing::HasSubstr("ended by signal 11")) << params;
    }
}

TEST_F(CpuFaultsTest, TheRecordedCommandRepeatsTheCrash) {
    ASSERT_EQ(workshop_.run({"tune", testing::data("cpu_faults.json"), "--device", "cpu", "--max-iters", "1"}).code, 0);
    const std::vector<std::string> attempt{
        "try", testing::data("cpu_faults.json"), "--set", "fault=segfault,armed=1", "-m", "x"};
    EXPECT_EQ(workshop_.run(attempt).code, 11);
    const std::string params = "fault=segfault,armed=1,idle=0";
    std::string command = rows_of(workshop_.database(), "cpu_faults")[params].at(0).reproduce;
    ASSERT_TRUE(command.starts_with("attune ")) << command;
    command.replace(0, 6, ATTUNE_BINARY);
    EXPECT_EQ(
        testing::Program({"/bin/sh", "-c", command}, workshop_.environment(), workshop_.path("log.txt")).wait().code,
        11);
    const auto rows = rows_of(workshop_.database(), "cpu_faults").at(params);
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[1].outcome, "crash");
}

}  // namespace
}  // namespace attune
