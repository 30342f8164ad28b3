// Every way we know in which a kernel or its compile goes wrong on a GPU, through the built program.

#include "faults/faults.h"

namespace attune {
namespace {

using testing::Ended;
using testing::Expected;

const std::vector<Expected> kFaults{
    {"compile_error", "compile_error", "the fault that was asked for"},
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
    {"right_once", "incorrect", "draw 6"},
};

using CudaFaultsTest = testing::FaultsTest;

TEST_F(CudaFaultsTest, EachBecomesOneCrashAndTheNextCandidateIsHealthy) {
    const Ended ended = workshop_.run({"tune", testing::data("cuda_faults.json"), "--device", "cuda"});
    if (ended.err.find("no usable CUDA GPU") != std::string::npos) GTEST_SKIP() << ended.err;
    ASSERT_EQ(ended.code, 0) << ended.err;
    expect_one_crash_each("cuda_faults", "", kFaults);
}

}  // namespace
}  // namespace attune
