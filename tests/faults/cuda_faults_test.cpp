// Every way we know in which a kernel or its compile goes wrong on a GPU, and a coordinator or a worker that is killed
// while a GPU works for it, through the built program.

#include <fmt/format.h>

#include "faults/faults.h"
#include "faults/under_fire.h"

namespace attune {
namespace {

using testing::Ended;
using testing::Expected;

const std::vector<Expected> kFaults{
    {"compile_error", "compile_error", "the fault that was asked for"},
    {"compile_endless", "timeout", "no answer within 8 s; the compile worker stopped by the coordinator"},
    {"compile_memory", "compile_error", "out of memory"},
    {"too_much_shared", "compile_error", "shared data"},
    {"too_many_registers", "launch_error", "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
    {"illegal_address", "crash", "CUDA_ERROR_ILLEGAL_ADDRESS"},
    {"misaligned_address", "crash", "CUDA_ERROR_MISALIGNED_ADDRESS"},
    {"endless", "timeout", "no answer within 5 s"},
    {"barrier_deadlock", "timeout", "no answer within 5 s"},
    {"trap", "crash", "CUDA_ERROR"},
    {"write_past_o", "incorrect", "wrote outside"},
    {"write_before_lse", "incorrect", "wrote outside"},
    {"write_input", "incorrect", "inputs"},
    {"nan", "incorrect", "nan"},
    {"stale", "incorrect", "nan"},
    {"right_once", "incorrect", "draw 0"},
};

using CudaFaultsTest = testing::FaultsTest;

TEST_F(CudaFaultsTest, EachBecomesOneCrashAndTheNextCandidateIsHealthy) {
    const Ended ended = workshop_.run({"tune", testing::data("cuda_faults.json"), "--device", "cuda"});
    if (ended.err.find("no usable CUDA GPU") != std::string::npos) GTEST_SKIP() << ended.err;
    ASSERT_EQ(ended.code, 0) << ended.err;
    expect_one_crash_each("cuda_faults", "", kFaults);
}

class CudaDeathTest : public testing::StudyUnderFire {
  protected:
    CudaDeathTest() : StudyUnderFire("cuda_healthy", "cuda", static_cast<int>(kFaults.size()) + 1) {}
    void SetUp() override {
        const Ended first = workshop_.run(tune());
        if (first.err.find("no usable CUDA GPU") != std::string::npos) GTEST_SKIP() << first.err;
        ASSERT_EQ(first.code, 0) << first.err;
        std::filesystem::remove_all(workshop_.path("results"));
    }
};

TEST_F(CudaDeathTest, ACoordinatorKilledAtRandomInstantsLosesNothing) {
    survive_kills(testing::number_from("ATTUNE_KILLS", 10));
}

TEST_F(CudaDeathTest, AKilledDeviceWorkerIsReplaced) {
    testing::Program program = workshop_.start(tune());
    int kills = 0;
    for (const int wanted : {1, 5, 9}) {
        await_iterations(program, wanted);
        for (const pid_t worker : workshop_.processes(" worker device")) {
            ::kill(worker, SIGKILL);
            ++kills;
        }
    }
    const Ended ended = program.wait();
    ASSERT_EQ(ended.code, 0) << ended.err;
    EXPECT_GT(kills, 0);
    EXPECT_LE(count("count(*) FROM iterations WHERE status = 'crash'"), kills);
    EXPECT_EQ(count("count(*) FROM iterations WHERE status = 'crash' AND diagnostics NOT LIKE '%killed by signal 9%'"),
              0);
    expect_it_completes();
}

}  // namespace
}  // namespace attune
