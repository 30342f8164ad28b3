// What is read from compilers' logs, cubins and the management library's masks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <elf.h>

#include <cstring>

#include "backend/cuda/cubin.h"
#include "backend/cuda/nvml.h"
#include "backend/cuda/ptxas_log.h"
#include "core/temp_folder.h"

namespace attune::cuda {
namespace {

TEST(PtxasLog, ReadsEveryKernel) {
    const PtxasReport report = parse_ptxas_log(R"(kernel.cu(3): warning #177-D: variable "unused" was never referenced
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'b' for 'sm_90a'
ptxas info    : Function properties for b
ptxas         .     200 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 200 bytes cumulative stack size, 1024 bytes smem, 400 bytes cmem[0]
ptxas info    : Compile time = 71.626 ms
ptxas info    : Compiling entry function 'a' for 'sm_90a'
ptxas info    : Function properties for a
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 8 registers, used 0 barriers
)");
    ASSERT_EQ(report.kernels.size(), 2U);
    const KernelResources& b = report.kernels[0];
    EXPECT_EQ(b.entry, "b");
    EXPECT_EQ(b.registers, 128);
    EXPECT_EQ(b.shared_bytes, 1024);
    EXPECT_EQ(b.stack_bytes, 200);
    EXPECT_EQ(b.spill_store_bytes, 4);
    EXPECT_EQ(b.spill_load_bytes, 8);
    EXPECT_EQ(report.kernels[1].entry, "a");
    EXPECT_EQ(report.kernels[1].shared_bytes, 0);
    EXPECT_FALSE(report.performance_warning);
}

TEST(PtxasLog, CalleesCountWithTheirKernel) {
    const PtxasReport report = parse_ptxas_log(R"(ptxas info    : Compiling entry function 'b' for 'sm_90a'
ptxas info    : Function properties for b
ptxas         .     8 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 128 registers, used 0 barriers
ptxas info    : Function properties for _Z1fPf
ptxas         .     16 bytes stack frame, 200 bytes spill stores, 196 bytes spill loads
)");
    ASSERT_EQ(report.kernels.size(), 1U);
    EXPECT_EQ(report.kernels[0].stack_bytes, 24);
    EXPECT_EQ(report.kernels[0].spill_store_bytes, 200);
    EXPECT_EQ(report.kernels[0].spill_load_bytes, 196);
}

TEST(PtxasLog, KnowsWhatMakesAKernelSlow) {
    const auto warns = [](const char* line) { return parse_ptxas_log(line).performance_warning; };
    EXPECT_TRUE(warns("ptxas info    : (C7508) Potential Performance Loss: 'setmaxnreg' ignored; unable to determine"));
    EXPECT_TRUE(warns("ptxas info    : (C7514) wgmma.mma_async instructions are serialized"));
    EXPECT_TRUE(warns("ptxas info    : (C9999) Potential Performance Loss: something new"));
    EXPECT_FALSE(warns("ptxas info    : (C7519) Potential Performance Loss: wait inserted"));
    EXPECT_FALSE(warns("ptxas info    : Used 8 registers, used 0 barriers"));
}

TEST(PtxasLog, TakesNoWordFromTheSource) {
    const PtxasReport report = parse_ptxas_log("kernel.cu(1): note: Compiling entry function 'forged' for 'sm_90a'\n");
    EXPECT_TRUE(report.kernels.empty());
    EXPECT_TRUE(parse_ptxas_log("").kernels.empty());
}

std::vector<std::byte> image(std::size_t size, std::uint16_t machine, std::uint64_t sections_at) {
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_machine = machine;
    header.e_shoff = sections_at;
    header.e_shnum = 2;
    header.e_shentsize = sizeof(Elf64_Shdr);
    std::vector<std::byte> bytes(size);
    std::memcpy(bytes.data(), &header, std::min(size, sizeof header));
    return bytes;
}

TEST(Cubin, RejectsWhatWouldUpsetTheDriver) {
    constexpr std::uint16_t kCuda = 190;
    EXPECT_EQ(cubin_defect(image(1000, kCuda, 500)), "");
    EXPECT_NE(cubin_defect(image(10, kCuda, 500)), "");
    EXPECT_NE(cubin_defect(image(1000, EM_X86_64, 500)), "");
    EXPECT_NE(cubin_defect(image(1000, kCuda, 950)), "");    // table past the end
    EXPECT_NE(cubin_defect(image(1000, kCuda, ~0ULL)), "");  // and far past it
    EXPECT_NE(cubin_defect(std::vector<std::byte>(1000)), "");
    const TempFolder folder;
    std::string why;
    EXPECT_TRUE(read_cubin(folder.path() / "missing", why).empty());
    EXPECT_FALSE(why.empty());
}

TEST(Nvml, WordsOfThrottleReasons) {
    EXPECT_EQ(throttle_words(0), "none");
    EXPECT_EQ(throttle_words(0x1 | 0x40), "idle,hardware_thermal");
    EXPECT_FALSE(is_throttling(0x1 | 0x2));
    EXPECT_TRUE(is_throttling(0x4));
    EXPECT_TRUE(is_throttling(0x1 | 0x20));
}

TEST(Nvml, WithoutAGpuNothingIsKnown) {
    const Nvml nvml("GPU-00000000-0000-0000-0000-000000000000");
    EXPECT_EQ(nvml.read().temperature_c, 0);
    EXPECT_FALSE(nvml.read().throttled);
    EXPECT_EQ(nvml.read().throttle_reasons, "");
}

}  // namespace
}  // namespace attune::cuda
