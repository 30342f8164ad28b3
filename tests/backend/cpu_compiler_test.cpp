// Compiling CPU variants, with the real compiler.
#include "backend/cpu/cpu_compiler.h"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include "backend/cpu_fixture.h"
#include "core/error.h"

namespace attune {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using CpuCompilerTest = CpuBackend;

/// A job of one source text, beside the template's machinery.
CompileJob raw_job(const std::string& text) {
    return {{{"k.cpp", text}}, "k.cpp", {"entry"}, DeviceKind::cpu, "native"};
}

std::size_t scratch_entries(const fs::path& cache) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(cache / "tmp"), fs::directory_iterator()));
}

TEST_F(CpuCompilerTest, CompilesOnceAndThenFetches) {
    const Result<Artifact> first = compiler_.compile(job("unroll=4"));
    ASSERT_TRUE(first.ok()) << first.failure().diagnostics;
    EXPECT_FALSE(first.value().from_cache);
    EXPECT_GT(first.value().compile_s, 0.0);
    EXPECT_THAT(first.value().options, HasSubstr("-O3"));
    EXPECT_EQ(first.value().source_hash.size(), 64U);
    ASSERT_EQ(first.value().kernels.size(), 2U);
    EXPECT_EQ(first.value().kernels[0].entry, "block_sparse_attn_fwd");

    const Result<Artifact> second = compiler_.compile(job("unroll=4"));
    ASSERT_TRUE(second.ok());
    EXPECT_TRUE(second.value().from_cache);
    EXPECT_EQ(second.value().path, first.value().path);
    EXPECT_EQ(second.value().kernels.size(), 2U);
    EXPECT_EQ(scratch_entries(folder_.path() / "cache"), 0U);
}

TEST_F(CpuCompilerTest, EveryCandidateHasItsOwnArtifact) {
    const Result<Artifact> a = compiler_.compile(job("unroll=1"));
    const Result<Artifact> b = compiler_.compile(job("unroll=2"));
    ASSERT_TRUE(a.ok() && b.ok());
    EXPECT_NE(a.value().path, b.value().path);
    EXPECT_NE(a.value().source_hash, b.value().source_hash);
}

TEST_F(CpuCompilerTest, CompileErrorsAreFailuresWithTheLog) {
    const Result<Artifact> result = compiler_.compile(job("fault=compile_error"));
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.failure().outcome, Outcome::compile_error);
    EXPECT_THAT(result.failure().diagnostics, AllOf(HasSubstr("kernel.cpp:"), HasSubstr("meant not to compile"),
                                                    Not(HasSubstr(folder_.path().string()))));
    EXPECT_EQ(scratch_entries(folder_.path() / "cache"), 0U);
}

TEST_F(CpuCompilerTest, MissingFunctionsAreCompileErrors) {
    const Result<Artifact> result = compiler_.compile(job("fault=undefined_function"));
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.failure().outcome, Outcome::compile_error);
    EXPECT_THAT(result.failure().diagnostics, HasSubstr("defined_nowhere"));
}

TEST_F(CpuCompilerTest, EndlessLogsAreClipped) {
    std::string source;
    for (int i = 0; i < 4000; ++i)
        source += "#pragma message \"a warning of some length, again and again and again\"\n";
    const Result<Artifact> result = compiler_.compile(raw_job(source));
    ASSERT_TRUE(result.ok()) << result.failure().diagnostics;
    EXPECT_LT(result.value().log.size(), 70000U);
    EXPECT_THAT(result.value().log,
                AllOf(HasSubstr("k.cpp:1:"), HasSubstr("bytes left out"), HasSubstr("k.cpp:4000:")));
}

TEST_F(CpuCompilerTest, FileNamesStayInsideTheBundle) {
    CompileJob escaping = raw_job("int x;");
    escaping.sources.push_back({"../outside.h", ""});
    EXPECT_THROW((void)compiler_.compile(escaping), InputError);
    escaping.sources.back().name = "/tmp/outside.h";
    EXPECT_THROW((void)compiler_.compile(escaping), InputError);
    CompileJob lost = raw_job("int x;");
    lost.main_source = "other.cpp";
    EXPECT_THROW((void)compiler_.compile(lost), InputError);
}

TEST_F(CpuCompilerTest, DamagedEntriesAreRebuilt) {
    const Result<Artifact> first = compiler_.compile(job(""));
    ASSERT_TRUE(first.ok());
    fs::resize_file(first.value().path, fs::file_size(first.value().path) / 2);
    const Result<Artifact> second = compiler_.compile(job(""));
    ASSERT_TRUE(second.ok());
    EXPECT_FALSE(second.value().from_cache);
    CpuDevice device = open_device();
    EXPECT_TRUE(device.load(Slot::challenger, {second.value(), plans("")}).ok());
}

TEST_F(CpuCompilerTest, AnUnusablePreferredCompilerIsSaidSo) {
    const auto complaint = [&](const std::string& preferred) -> std::string {
        try {
            const CpuCompiler compiler(ArtifactCache(folder_.path() / "cache"), preferred);
        } catch (const EnvironmentError& error) {
            return error.what();
        }
        return "accepted";
    };
    EXPECT_THAT(complaint("no-such-compiler"),
                AllOf(HasSubstr("CXX is 'no-such-compiler'"), HasSubstr("No such file")));
    EXPECT_THAT(complaint("false"), HasSubstr("CXX is 'false'"));
    EXPECT_THAT(complaint("echo"), HasSubstr("CXX is 'echo'"));  // answers --version, compiles nothing
}

TEST_F(CpuCompilerTest, CapabilitySaysWhatToInstall) {
    EXPECT_TRUE(cpu::cpu_compiler_capability("", folder_.path()).available);
    const Capability lacking = cpu::cpu_compiler_capability("no-such-compiler", folder_.path());
    EXPECT_FALSE(lacking.available);
    EXPECT_THAT(lacking.remedy, HasSubstr("apt-get install"));
    folder_.write("file", "");
    EXPECT_THAT(cpu::cpu_compiler_capability("", folder_.path() / "file").remedy, HasSubstr("ATTUNE_CACHE"));
}

// Scratch in the cache is swept when its owner was killed; scratch elsewhere would stay.
TEST_F(CpuCompilerTest, TheCompilerIsTriedInTheCachesScratchOnly) {
    const fs::path seen = folder_.path() / "seen";
    const fs::path program =
        folder_.write("c++", fmt::format("#!/bin/sh\npwd >> {}\nexec c++ \"$@\"\n", seen.string()));
    fs::permissions(program, fs::perms::owner_all);
    const ArtifactCache cache(folder_.path() / "cache");
    (void)cpu::find_system_compiler(program, cache);
    const CpuDevice device({program, "test"}, cache);
    (void)cpu::cpu_compiler_capability(program, cache.root());
    std::istringstream folders(read_file(seen));
    for (std::string folder; std::getline(folders, folder);)
        EXPECT_THAT(folder, testing::StartsWith((fs::canonical(cache.root()) / "tmp").string()));
    EXPECT_FALSE(read_file(seen).empty());
    EXPECT_TRUE(fs::is_empty(cache.root() / "tmp"));
}

}  // namespace
}  // namespace attune
