// Compiling with the real NVRTC. No GPU is needed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "backend/cuda/cubin.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/device_code.h"
#include "backend/cuda/library.h"
#include "core/error.h"
#include "core/temp_folder.h"

namespace attune {
namespace {

using testing::HasSubstr;

CompileJob job_of(const std::string& source, std::vector<std::string> entries, const std::string& arch = "sm_90a") {
    CompileJob job;
    job.sources = {{"kernel.cu", source}, {"folder/helper.h", "#pragma once\nconstexpr int kHelped = 3;\n"}};
    job.main_source = "kernel.cu";
    job.entries = std::move(entries);
    job.arch_name = arch;
    return job;
}

constexpr const char* kGood = R"(
#include "folder/helper.h"
extern "C" __global__ void first(float* x) {
    __shared__ float shared[64];
    shared[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = shared[63 - threadIdx.x] * kHelped;
}
extern "C" __global__ void second(float* x) { x[0] = 1.0f; }
)";

class Nvrtc : public testing::Test {
  protected:
    void SetUp() override {
        for (const Capability& capability : cuda_capabilities({})) {
            if (capability.what == "NVRTC" && !capability.available) GTEST_SKIP() << capability.detail;
        }
        compiler_.emplace(LibrarySearch{}, ArtifactCache(folder_.path() / "cache"));
    }
    std::string failure_of(const CompileJob& job) {
        const Result<Artifact> result = compiler_->compile(job);
        EXPECT_FALSE(result.ok());
        if (result.ok()) return {};
        EXPECT_EQ(result.failure().outcome, Outcome::compile_error);
        return result.failure().diagnostics;
    }

    TempFolder folder_;
    std::optional<NvrtcCompiler> compiler_;
};

TEST_F(Nvrtc, CompilesToACubinAndReportsResources) {
    const Result<Artifact> result = compiler_->compile(job_of(kGood, {"second", "first"}));
    ASSERT_TRUE(result.ok()) << result.failure().diagnostics;
    const Artifact& artifact = result.value();
    std::string why;
    EXPECT_GT(cuda::read_cubin(artifact.path, why).size(), 1000U) << why;
    ASSERT_EQ(artifact.kernels.size(), 2U);
    EXPECT_EQ(artifact.kernels[0].entry, "second");
    EXPECT_EQ(artifact.kernels[0].shared_bytes, 0);
    EXPECT_EQ(artifact.kernels[1].entry, "first");
    EXPECT_EQ(artifact.kernels[1].shared_bytes, 256);
    EXPECT_GT(artifact.kernels[1].registers, 0);
    EXPECT_EQ(artifact.kernels[1].spill_store_bytes, 0);
    EXPECT_EQ(artifact.kernels[1].stack_bytes, 0);
    EXPECT_FALSE(artifact.performance_warning);
    EXPECT_FALSE(artifact.from_cache);
    EXPECT_GT(artifact.compile_s, 0.0);
    EXPECT_THAT(artifact.compiler, testing::StartsWith("NVRTC "));
    EXPECT_THAT(artifact.options, HasSubstr("--gpu-architecture=sm_90a"));
    EXPECT_EQ(artifact.source_hash.size(), 64U);
}

TEST_F(Nvrtc, CompileErrorsCarryFileAndLine) {
    const std::string log = failure_of(job_of("extern \"C\" __global__ void k() {\n  undeclared = 1;\n}\n", {"k"}));
    EXPECT_THAT(log, HasSubstr("kernel.cu(2): error"));
    EXPECT_THAT(log, HasSubstr("undeclared"));
}

TEST_F(Nvrtc, AssemblerErrorsAreCompileErrors) {
    const std::string log =
        failure_of(job_of("extern \"C\" __global__ void k() { asm volatile(\"no.such;\"); }", {"k"}));
    EXPECT_THAT(log, HasSubstr("no"));
    EXPECT_THAT(log, HasSubstr("ptxas"));
}

TEST_F(Nvrtc, TooMuchSharedMemoryIsSaidWhereNvrtcDoesNot) {
    EXPECT_THAT(failure_of(job_of("extern \"C\" __global__ void k(float* x) { __shared__ volatile float s[77000]; "
                                  "s[threadIdx.x] = x[0]; x[1] = s[3]; }",
                                  {"k"})),
                HasSubstr("shared data"));
}

TEST_F(Nvrtc, MissingEntriesAreCompileErrorsThatNameThem) {
    EXPECT_THAT(failure_of(job_of(kGood, {"first", "third"})), HasSubstr("named third"));
}

TEST_F(Nvrtc, SpillsAreReported) {
    const std::string source = R"(
extern "C" __global__ void __launch_bounds__(1024) k(float* x) {
    float y[150];
    #pragma unroll
    for (int i = 0; i < 150; ++i) y[i] = x[i];
    #pragma unroll
    for (int i = 0; i < 150; ++i) x[threadIdx.x + i] = y[i] * y[149 - i] + y[(i * 7) % 150];
})";
    const Result<Artifact> result = compiler_->compile(job_of(source, {"k"}));
    ASSERT_TRUE(result.ok()) << result.failure().diagnostics;
    EXPECT_GT(result.value().kernels[0].spill_store_bytes, 0);
    EXPECT_GT(result.value().kernels[0].spill_load_bytes, 0);
}

TEST_F(Nvrtc, IgnoredRegisterReallocationIsAPerformanceWarning) {
    // Without launch bounds ptxas cannot honour setmaxnreg.
    const std::string source =
        "extern \"C\" __global__ void k(float* x) { asm volatile(\"setmaxnreg.dec.sync.aligned.u32 24;\"); x[1] = "
        "x[2]; }";
    const Result<Artifact> result = compiler_->compile(job_of(source, {"k"}));
    ASSERT_TRUE(result.ok()) << result.failure().diagnostics;
    EXPECT_TRUE(result.value().performance_warning) << result.value().log;
}

TEST_F(Nvrtc, TheSameJobComesFromTheCache) {
    const Result<Artifact> first = compiler_->compile(job_of(kGood, {"first"}));
    const Result<Artifact> again = compiler_->compile(job_of(kGood, {"first"}));
    ASSERT_TRUE(first.ok() && again.ok());
    EXPECT_TRUE(again.value().from_cache);
    EXPECT_EQ(again.value().compile_s, 0.0);
    EXPECT_EQ(again.value().path, first.value().path);
    EXPECT_EQ(again.value().log, first.value().log);
    EXPECT_EQ(again.value().kernels[0].registers, first.value().kernels[0].registers);
}

TEST_F(Nvrtc, SourcesAndArchitectureMakeOtherArtifacts) {
    const Result<Artifact> first = compiler_->compile(job_of(kGood, {"first"}));
    const Result<Artifact> other_arch = compiler_->compile(job_of(kGood, {"first"}, "sm_80"));
    CompileJob changed = job_of(kGood, {"first"});
    changed.sources[1].text += "// changed\n";
    const Result<Artifact> other_header = compiler_->compile(changed);
    ASSERT_TRUE(first.ok() && other_arch.ok() && other_header.ok());
    EXPECT_FALSE(other_arch.value().from_cache);
    EXPECT_FALSE(other_header.value().from_cache);
    EXPECT_NE(other_arch.value().path, first.value().path);
    EXPECT_NE(other_header.value().source_hash, first.value().source_hash);
}

TEST_F(Nvrtc, ADamagedCacheEntryIsCompiledAgain) {
    const Result<Artifact> first = compiler_->compile(job_of(kGood, {"first"}));
    ASSERT_TRUE(first.ok());
    std::filesystem::permissions(first.value().path, std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
    std::ofstream(first.value().path, std::ios::binary) << "short";
    const Result<Artifact> again = compiler_->compile(job_of(kGood, {"first"}));
    ASSERT_TRUE(again.ok());
    EXPECT_FALSE(again.value().from_cache);
    std::string why;
    EXPECT_FALSE(cuda::read_cubin(again.value().path, why).empty()) << why;
}

TEST_F(Nvrtc, AnUnknownArchitectureIsTheEnvironmentsFault) {
    try {
        static_cast<void>(compiler_->compile(job_of(kGood, {"first"}, "sm_11")));
        FAIL() << "sm_11 compiled";
    } catch (const EnvironmentError& error) {
        EXPECT_THAT(error.what(), HasSubstr("sm_11"));
        EXPECT_THAT(error.what(), HasSubstr("sm_90"));
    }
}

TEST_F(Nvrtc, AFolderWithoutNvrtcIsNamed) {
    try {
        const NvrtcCompiler compiler(LibrarySearch{{folder_.path()}, {}}, ArtifactCache(folder_.path() / "cache"));
        FAIL() << "found " << compiler.version();
    } catch (const EnvironmentError& error) {
        EXPECT_THAT(error.what(), HasSubstr(folder_.path().string()));
        EXPECT_THAT(error.what(), HasSubstr("ATTUNE_NVRTC"));
    }
}

TEST_F(Nvrtc, AnExplicitLibraryIsUsed) {
    const auto library = cuda::load_nvrtc({})->library.path();
    for (const auto& given : {library, library.parent_path(), library.parent_path().parent_path()}) {
        const auto api = cuda::load_nvrtc(LibrarySearch{{given}, {}});
        EXPECT_TRUE(std::filesystem::equivalent(api->library.path(), library)) << given;
    }
}

TEST_F(Nvrtc, TheDriversOwnKernelsCompileWithoutSpills) {
    for (const char* arch : {"sm_80", "sm_90a"}) {
        const CompileJob job = cuda::device_code_job(arch);
        const Result<Artifact> result = compiler_->compile(job);
        ASSERT_TRUE(result.ok()) << result.failure().diagnostics;
        for (const KernelResources& kernel : result.value().kernels) {
            EXPECT_EQ(kernel.spill_store_bytes + kernel.spill_load_bytes, 0) << arch << " " << kernel.entry;
        }
    }
}

}  // namespace
}  // namespace attune
