// A package must work on its own: these tests use it from outside, through Python, C++ and the files' own hashes.

#include "export/package.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "config/template.h"
#include "core/error.h"
#include "core/one_case_a_family.h"
#include "core/shell.h"
#include "export/geometry.h"
#include "store/sample_record.h"
#include "store/store.h"

namespace attune {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr const char* kCpuTemplate = ATTUNE_SOURCE_DIR "/kernel_templates/cpu_blocked";
constexpr const char* kCudaTemplate = ATTUNE_SOURCE_DIR "/kernel_templates/sm90_ws";

Suite tiny_suite() {
    return one_case_a_family("tiny", {.case_id = {},
                                      .num_heads = 2,
                                      .t_max = 384,
                                      .window_blocks = 1,
                                      .global_blocks = 1,
                                      .retrieval_blocks = 1,
                                      .seed = 7});
}

/// A record of `kernel_template` with these parameters, as the loop would leave it.
IterationRecord record_of(const KernelTemplate& kernel_template, const std::string& params, Status status,
                          double score_ms) {
    IterationRecord record = sample_record(1, status, score_ms);
    record.params = params;
    record.environment.device_name = kernel_template.device() == DeviceKind::cpu ? "A CPU" : "NVIDIA H200";
    record.artifact->options =
        kernel_template.device() == DeviceKind::cpu ? "-O3" : "--gpu-architecture=sm_90a -std=c++17";
    record.cases.clear();
    const Suite suite = tiny_suite();
    for (std::size_t i = 0; i < suite.cases.size(); ++i) {
        CaseRecord item;
        item.case_id = suite.cases[i].case_id;
        item.family = suite.cases[i].family;
        item.check = CheckReport{true, 1e-4, 0.2, 1e-6, 0.1, 0, 0, true, ""};
        item.cold_median_ms = record.family_ms[i];
        record.cases.push_back(std::move(item));
    }
    record.stresses = {{suite.cases[0].case_id, Stress::peaked, {}}};
    return record;
}

Candidate candidate_of(const KernelTemplate& kernel_template, const std::string& params) {
    Candidate defaults;
    for (const Parameter& parameter : kernel_template.parameters())
        defaults.choice.push_back(static_cast<std::uint16_t>(parameter.default_choice));
    return parse_params(kernel_template.parameters(), params, defaults);
}

std::vector<SourceFile> sources_of(const KernelTemplate& kernel_template, const std::string& params) {
    std::vector<SourceFile> sources = kernel_template.source_bundle(candidate_of(kernel_template, params));
    for (const SourceFile& file : kernel_template.files()) {
        if (file.name == kTemplateFile) sources.push_back(file);
    }
    return sources;
}

/// A database with one study of the real CPU template: the winner, and a kernel that is better at windows.
class CpuPackage : public testing::Test {
  protected:
    CpuPackage() {
        const KernelTemplate kernel_template = load_template(kCpuTemplate);
        Store store(database());
        open_study(store, kernel_template);
        const auto add = [&](const std::string& params, Status status, double score, FamilyTimes families) {
            IterationRecord record = record_of(kernel_template, params, status, score);
            record.family_ms = families;
            store.finish(record, sources_of(kernel_template, params));
        };
        add("tile_m=64", Status::keep, 3.0, {3.0, 3.0, 3.0});
        add("tile_m=32,pack=head", Status::keep, 2.0, {2.0, 2.0, 2.0});
        add("tile_m=16,v_layout=direct", Status::discard, 2.5, {1.0, 4.0, 4.0});
    }
    static void open_study(Store& store, const KernelTemplate& kernel_template) {
        Study study;
        study.name = "tiny-cpu";
        study.template_name = kernel_template.name();
        study.suite = tiny_suite();
        store.open_study(study, kernel_template);
    }
    [[nodiscard]] std::filesystem::path database() const { return folder_.path() / "attune.db"; }
    [[nodiscard]] std::filesystem::path to() const { return folder_.path() / "package"; }
    [[nodiscard]] Ran export_package(const std::string& more = "") const {
        return shell(fmt::format("ATTUNE_CACHE={0}/cache {1} export --db {2} --to {3} {4}", folder_.path().string(),
                                 ATTUNE_BINARY, database().string(), to().string(), more));
    }
    [[nodiscard]] json manifest() const { return json::parse(read_file(to() / kManifestFile)); }

    TempFolder folder_;
};

TEST_F(CpuPackage, RunsFromPythonAndSaysWhatItIs) {
    const Ran exported = export_package();
    ASSERT_EQ(exported.code, 0) << exported.output();
    const json page = manifest();
    EXPECT_EQ(page["checked"], true);
    ASSERT_EQ(page["variants"].size(), 1U);
    EXPECT_EQ(page["variants"][0]["parameters"]["tile_m"], 32);
    EXPECT_EQ(page["variants"][0]["parameters"]["pack"], "head");
    EXPECT_EQ(page["variants"][0]["provenance"]["iter"], 2);
    EXPECT_EQ(page["variants"][0]["checked_as_exported"].size(), 24U);  // three cases, eight draws
    const Ran used = shell(
        fmt::format("{} {}/tests/export/check_package.py {}", ATTUNE_TEST_PYTHON, ATTUNE_SOURCE_DIR, to().string()));
    EXPECT_EQ(used.code, 0) << used.output();
}

TEST_F(CpuPackage, RunsFromCpp) {
    ASSERT_EQ(export_package().code, 0);
    const Ran built = shell(fmt::format(
        "cd {} && c++ -std=c++17 -O1 -Wall -Wextra -Werror example.cpp -o example -ldl && ./example", to().string()));
    EXPECT_EQ(built.code, 0) << built.output();
    EXPECT_THAT(built.output(), HasSubstr("worst error over tolerance: o 0."));
}

TEST_F(CpuPackage, SourceCompilesAlone) {
    ASSERT_EQ(export_package().code, 0);
    const std::string source = read_file(to() / "variants/general.cpp");
    const Ran built =
        shell(fmt::format("cd {}/variants && {} -o alone.so", to().string(), source.substr(3, source.find('\n') - 3)));
    EXPECT_EQ(built.code, 0) << built.output();
}

TEST_F(CpuPackage, HoldsAVariantOfEachFamilyOnRequest) {
    const Ran exported = export_package("--per-family");
    ASSERT_EQ(exported.code, 0) << exported.output();
    const json page = manifest();
    ASSERT_EQ(page["variants"].size(), 2U);
    EXPECT_EQ(page["default"], "general");
    EXPECT_EQ(page["variants"][0]["families"], json({"sliding_window_global", "sliding_window_retrieval"}));
    EXPECT_EQ(page["variants"][1]["families"], json({"sliding_window"}));
    EXPECT_EQ(page["variants"][1]["parameters"]["tile_m"], 16);
    const Ran used = shell(
        fmt::format("{} {}/tests/export/check_package.py {}", ATTUNE_TEST_PYTHON, ATTUNE_SOURCE_DIR, to().string()));
    EXPECT_EQ(used.code, 0) << used.output();
}

TEST_F(CpuPackage, SaysWhenItWasNotRun) {
    const Ran exported = export_package("--device none");
    EXPECT_EQ(exported.code, 0);
    EXPECT_THAT(exported.output(), HasSubstr("\"checked\": false"));
    EXPECT_EQ(manifest()["checked"], false);
    EXPECT_EQ(manifest()["unchecked_because"], "--device none");
}

TEST_F(CpuPackage, ReplacesOnlyAPackageAndOnlyWhenTold) {
    ASSERT_EQ(export_package("--device none").code, 0);
    EXPECT_EQ(export_package("--device none").code, 2);
    EXPECT_EQ(export_package("--device none --force").code, 0);
    const TempFolder other;
    other.write("precious.txt", "mine");
    const Ran refused = shell(fmt::format("{} export --db {} --to {} --device none --force", ATTUNE_BINARY,
                                          database().string(), other.path().string()));
    EXPECT_EQ(refused.code, 2) << refused.output();
    EXPECT_EQ(read_file(other.path() / "precious.txt"), "mine");
}

TEST_F(CpuPackage, GoesWhereAFolderCanBeMadeAsOthersAre) {
    for (const std::string place : {"package/", "new/folders/package", "package/../other"}) {
        const Ran exported =
            shell(fmt::format("umask 027; cd {0}; ATTUNE_CACHE=cache {1} export --db {2} --to {3} --device none",
                              folder_.path().string(), ATTUNE_BINARY, database().string(), place));
        ASSERT_EQ(exported.code, 0) << place << exported.output();
        EXPECT_TRUE(std::filesystem::exists(folder_.path() / place / kManifestFile)) << place;
    }
    using std::filesystem::perms;
    const auto mode = [&](const char* name) { return std::filesystem::status(to() / name).permissions(); };
    EXPECT_EQ(mode("."), perms{0750});
    EXPECT_EQ(mode("variants"), perms{0750});
    EXPECT_EQ(mode("variants/general.so"), perms{0640});
    EXPECT_EQ(mode(kManifestFile), perms{0640});
}

TEST_F(CpuPackage, IsNotPutInPlaceOfTheFolderOneIsIn) {
    std::filesystem::create_directory(to());
    const Ran ran =
        shell(fmt::format("cd {} && {} export --db {} --to .", to().string(), ATTUNE_BINARY, database().string()));
    EXPECT_EQ(ran.code, 2);
    EXPECT_THAT(ran.err, HasSubstr("is the current folder"));
}

TEST_F(CpuPackage, FollowsALinkToAFolder) {
    const auto real = folder_.path() / "real";
    std::filesystem::create_directory(real);
    std::filesystem::create_directory_symlink(real, to());
    ASSERT_EQ(export_package("--device none").code, 0);
    ASSERT_EQ(export_package("--device none --force").code, 0);
    EXPECT_TRUE(std::filesystem::is_symlink(to()));
    EXPECT_TRUE(std::filesystem::exists(real / kManifestFile));
}

TEST_F(CpuPackage, RefusesAPlaceThatIsNoneBeforeAnythingIsCompiled) {
    const auto expect_refused = [&](const std::string& place, int code, const std::string& words) {
        const Ran ran = shell(fmt::format("cd {0}; ATTUNE_CACHE={0}/unused {1} export --db {2} --to {3} --force",
                                          folder_.path().string(), ATTUNE_BINARY, database().string(), place));
        EXPECT_EQ(ran.code, code) << place;
        EXPECT_THAT(ran.err, HasSubstr(words)) << place;
        EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
        EXPECT_FALSE(std::filesystem::exists(folder_.path() / "unused"));
    };
    folder_.write("file", "mine");
    std::filesystem::create_symlink("nowhere", folder_.path() / "dangling");
    expect_refused("file", 2, "is a file");
    expect_refused("file/package", 2, "which is a file");
    expect_refused("dangling", 2, "is a link to nothing");
    expect_refused(".", 2, "not empty and no package");
    const Ran unwritable = shell(fmt::format("ATTUNE_CACHE={}/cache {} export --db {} --to /proc/none/package",
                                             folder_.path().string(), ATTUNE_BINARY, database().string()));
    EXPECT_EQ(unwritable.code, 3);
    EXPECT_THAT(unwritable.err, HasSubstr("choose another --to"));
}

// What was there is there still, or the new package is, whole.
TEST_F(CpuPackage, WhateverInterruptsAnExportLeavesAPackage) {
    ASSERT_EQ(export_package("--device none").code, 0);
    std::mt19937_64 random(std::random_device{}());
    for (const char* signal : {"KILL", "TERM", "INT", "HUP"}) {
        for (int attempt = 0; attempt < 8; ++attempt) {
            const std::string words = fmt::format("timeout -s {} 0.{:03} ", signal, 1 + random() % 300);
            (void)shell(fmt::format("ATTUNE_CACHE={0}/cache {1} {2} export --db {3} --to {4} --force --device none",
                                    folder_.path().string(), words, ATTUNE_BINARY, database().string(), to().string()));
            const json page = manifest();
            EXPECT_EQ(page["format"], "attune-package");
            EXPECT_FALSE(read_file(to() / "variants/general.so").empty());
            if (std::string(signal) == "KILL") continue;
            for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
                EXPECT_FALSE(entry.path().filename().string().starts_with(".attune-export")) << entry.path();
        }
        for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
            if (entry.path().filename().string().starts_with(".attune-export")) std::filesystem::remove_all(entry);
        }
    }
}

TEST_F(CpuPackage, LeavesNothingBehindWhenTheKernelIsWrong) {
    const KernelTemplate kernel_template = load_template(kCpuTemplate);
    {
        Store store(database());
        open_study(store, kernel_template);
        std::vector<SourceFile> sources = sources_of(kernel_template, "tile_m=128");
        for (SourceFile& file : sources) {
            const std::string factor = "1.44269504088896341f";
            if (const auto at = file.text.find(factor); at != std::string::npos)
                file.text.replace(at, factor.size(), "1.5f");
        }
        store.finish(record_of(kernel_template, "tile_m=128", Status::keep, 1.0), sources);
    }
    const Ran exported = export_package();
    EXPECT_EQ(exported.code, 1) << exported.output();
    EXPECT_THAT(exported.output(), HasSubstr("nothing was written"));
    EXPECT_THAT(exported.output(), HasSubstr(" --db " + database().string())) << "the command that measures it again";
    EXPECT_FALSE(std::filesystem::exists(to()));
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
        EXPECT_THAT(entry.path().filename().string(), testing::Not(testing::StartsWith(".attune-export")))
            << entry.path();
}

TEST_F(CpuPackage, PassesOverAKeepThatWasFoundIncorrectLater) {
    const KernelTemplate kernel_template = load_template(kCpuTemplate);
    {
        Store store(database());
        open_study(store, kernel_template);
        IterationRecord wrong = record_of(kernel_template, "tile_m=32,pack=head", Status::crash, 0.0);
        wrong.outcome = Outcome::incorrect;
        wrong.geomean_ms.reset();
        store.finish(wrong, sources_of(kernel_template, "tile_m=32,pack=head"));
    }
    const Ran exported = export_package();
    ASSERT_EQ(exported.code, 0) << exported.output();
    EXPECT_THAT(exported.output(), HasSubstr("tile_m=64"));
}

/// The text parts of a CUDA package need no GPU: variants all over the spaces of the shipped templates, with a stand-in
/// for their cubins. The first is the Hopper template's usual one.
class CudaPackage : public testing::Test {
  protected:
    CudaPackage() {
        package_.study.name = "quick";
        package_.study.device = DeviceKind::cuda;
        package_.study.suite = tiny_suite();
        package_.attune_version = "1.2.3";
        for (const char* folder : {kCudaTemplate, ATTUNE_SOURCE_DIR "/kernel_templates/mma_sync"})
            add_variants(folder);
        std::filesystem::create_directories(to());
        write_package(package_, to());
        write_manifest(package_, {"", "no GPU here", {}}, to());
    }
    void add_variants(const char* folder) {
        constexpr std::size_t kVariants = 8;
        const KernelTemplate kernel_template = load_template(folder);
        const Space space = kernel_template.space(target_facts("sm_90a"));
        std::mt19937_64 random(3);
        Candidate candidate = space.defaults();
        for (std::size_t added = 0; added < kVariants; candidate = space.at(random() % space.combinations())) {
            if (!space.legal(candidate)) continue;
            ++added;
            const std::string params = space.describe(candidate);
            IterationDetail detail{{"quick", "shard", 3},
                                   1'700'000'000'000'000,
                                   record_of(kernel_template, params, Status::keep, 0.04),
                                   sources_of(kernel_template, params)};
            const std::string name = fmt::format("variant_{}", package_.variants.size());
            package_.variants.push_back(make_variant(name, {}, std::move(detail), load_template(folder)));
            package_.variants.back().artifact.path = folder_.write(name, "not a real cubin");
        }
    }
    [[nodiscard]] std::filesystem::path to() const { return folder_.path() / "package"; }

    TempFolder folder_;
    Package package_;
};

/// One line a plan, as the Python below prints it.
std::string text_of(const LaunchPlan& plan) {
    std::string line;
    for (const KernelLaunch& kernel : plan.kernels) {
        line += fmt::format("{} [{}] {} {} {} ", kernel.entry, fmt::join(kernel.grid, ", "), kernel.threads,
                            kernel.shared_bytes, kernel.cluster);
    }
    std::vector<std::int64_t> offsets;
    for (const TensorMapPlan& map : plan.tensor_maps)
        offsets.push_back(map.workspace_offset_bytes);
    return line + fmt::format("{} {} [{}]", plan.workspace_bytes, plan.workspace_clear_bytes, fmt::join(offsets, ", "));
}

TEST_F(CudaPackage, PlansInPythonWhatTheDriverPlans) {
    TargetFacts target = target_facts("sm_90a");
    std::string program =
        fmt::format("import sys\nsys.path.insert(0, '{}')\nimport block_sparse_attn as p\n", to().string());
    std::vector<std::string> expected;
    for (std::size_t i = 0; i < package_.variants.size(); ++i) {
        const PackageVariant& variant = package_.variants[i];
        for (const int sm_count : {16, 132}) {
            target.sm_count = sm_count;
            for (const CallShape& shape :
                 {CallShape{1, 2, 256, 9}, CallShape{4, 32, 16384, 5000}, CallShape{3, 1, 640, 1}}) {
                program += fmt::format(
                    "x = p.Plan(p._VARIANTS[{}], p.Call({}, {}, {}, {}, dict(sm_count={}, shared_limit=232448, "
                    "shared_per_sm=233472, registers_per_sm=65536, arch=90)))\n"
                    "print(*['%s %s %d %d %d' % (k.entry, list(g), k.threads, k.shared_bytes, k.cluster) for k, g in "
                    "x.kernels], "
                    "x.workspace_bytes, x.clear_bytes, x.map_offsets)\n",
                    i, shape.batch, shape.heads, shape.t_max, shape.max_nnz, sm_count);
                expected.push_back(text_of(variant.kernel_template.plan(variant.candidate, shape, target)));
            }
        }
    }
    const Ran ran = shell(fmt::format("{} {}", ATTUNE_TEST_PYTHON, folder_.write("program.py", program).string()));
    ASSERT_EQ(ran.code, 0) << ran.output();
    std::istringstream lines(ran.out);
    for (const std::string& want : expected) {
        std::string line;
        std::getline(lines, line);
        EXPECT_EQ(line, want);
    }
}

TEST_F(CudaPackage, SourceHoldsEverythingItIncludes) {
    const std::string source = read_file(to() / "variants/variant_0.cu");
    EXPECT_THAT(source, testing::Not(testing::ContainsRegex("\n[ \t]*#[ \t]*include[ \t]*\"")));
    EXPECT_THAT(source, HasSubstr("struct Tune {"));
    EXPECT_THAT(source, HasSubstr("struct alignas(64) AttnArgs {"));
}

TEST_F(CudaPackage, HeaderAndExampleCompileWhereCudaHeadersAre) {
    const Ran probe = shell("echo '#include <cuda.h>' | c++ -I/usr/local/cuda/include -fsyntax-only -x c++ -");
    if (probe.code != 0) GTEST_SKIP() << "no cuda.h here";
    const Ran built =
        shell(fmt::format("cd {} && c++ -std=c++17 -fsyntax-only -Wall -Wextra -Werror -I/usr/local/cuda/include "
                          "example.cpp",
                          to().string()));
    EXPECT_EQ(built.code, 0) << built.output();
}

TEST_F(CudaPackage, SourceCompilesAloneWhereNvccIs) {
    if (shell("PATH=$PATH:/usr/local/cuda/bin nvcc --version").code != 0) GTEST_SKIP() << "no nvcc here";
    const std::string source = read_file(to() / "variants/variant_0.cu");
    const Ran built = shell(fmt::format("cd {}/variants && PATH=$PATH:/usr/local/cuda/bin {}", to().string(),
                                        source.substr(3, source.find('\n') - 3)));
    EXPECT_EQ(built.code, 0) << built.output();
}

TEST_F(CudaPackage, NamesTheArchitectureAndRefusesARecordWithoutIt) {
    EXPECT_EQ(package_.variants[0].arch_name, "sm_90a");
    IterationDetail detail = package_.variants[0].detail;
    detail.record.artifact->options = "-std=c++17";
    EXPECT_THROW(static_cast<void>(make_variant("x", {}, detail, load_template(kCudaTemplate))), InputError);
    detail = package_.variants[0].detail;
    detail.record.artifact.reset();
    EXPECT_THROW(static_cast<void>(make_variant("x", {}, detail, load_template(kCudaTemplate))), InputError);
    detail = package_.variants[0].detail;
    for (SourceFile& file : detail.sources) {
        if (file.name == kArgsHeader) file.text += "// other\n";
    }
    EXPECT_THROW(static_cast<void>(make_variant("x", {}, detail, load_template(kCudaTemplate))), InputError);
}

}  // namespace
}  // namespace attune
