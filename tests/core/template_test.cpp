#include "config/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/json_reader.h"
#include "core/error.h"
#include "core/temp_folder.h"

namespace attune {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const fs::path kToy = fs::path(ATTUNE_SOURCE_DIR) / "tests/core/data/toy";

/// The toy template with one piece of its text replaced, in a folder of its own.
class ChangedToy {
  public:
    ChangedToy(const std::string& from, const std::string& to) {
        std::string text = read_text_file(kToy / "template.json");
        const std::size_t at = text.find(from);
        if (at == std::string::npos) throw std::logic_error("the toy template has no such text: " + from);
        text.replace(at, from.size(), to);
        folder_.write("toy/template.json", text);
        folder_.write("toy/kernel.cu", "// kernel\n");
    }
    [[nodiscard]] fs::path path() const { return folder_.path() / "toy"; }
    [[nodiscard]] const TempFolder& folder() const { return folder_; }

  private:
    TempFolder folder_;
};

std::string load_error(const fs::path& folder) {
    try {
        static_cast<void>(load_template(folder));
    } catch (const InputError& error) {
        return error.what();
    }
    return "no error";
}

std::string load_error(const std::string& from, const std::string& to) {
    return load_error(ChangedToy(from, to).path());
}

Candidate candidate_of(const KernelTemplate& kernel_template, const std::string& text) {
    const Space space = kernel_template.space(target_facts("sm_90a"));
    return space.parse(text, space.defaults());
}

TEST(TemplateTest, ReadsEveryPartOfTheFormat) {
    const KernelTemplate toy = load_template(kToy);
    EXPECT_EQ(toy.name(), "toy");
    EXPECT_EQ(toy.device(), DeviceKind::cuda);
    EXPECT_EQ(toy.main_source(), "kernel.cu");
    EXPECT_EQ(toy.parameters().size(), 4U);
    EXPECT_THAT(toy.entries(), ElementsAre("convert", "forward"));
    EXPECT_EQ(toy.files().size(), 2U);
    const Space space = toy.space(target_facts("sm_90a"));
    EXPECT_EQ(space.combinations(), 54U);
    EXPECT_EQ(space.describe(space.defaults()), "tile_m=64,tile_n=128,stages=1,p_mode=bf16");
}

TEST(TemplateTest, LegalityFollowsConstraintsAndTheTarget) {
    const KernelTemplate toy = load_template(kToy);
    const TargetFacts hopper = target_facts("sm_90a");
    const TargetFacts ampere = target_facts("sm_86");
    const Candidate large = candidate_of(toy, "tile_m=128,tile_n=64,stages=2");  // 96 KiB
    EXPECT_TRUE(toy.legal(large, hopper));
    EXPECT_EQ(toy.violated(large, hopper), "");
    EXPECT_FALSE(toy.legal(large, ampere));
    EXPECT_EQ(toy.violated(large, ampere), "two blocks must fit an SM");
    EXPECT_EQ(toy.violated(candidate_of(toy, "tile_n=32,p_mode=fp16"), hopper), "conversion needs 64 keys");
    // Judging for one target leaves nothing behind for the next.
    EXPECT_TRUE(toy.legal(large, hopper));
}

TEST(TemplateTest, LimitsOfABlockNeedNoConstraint) {
    const ChangedToy wide("\"2 * tile_m\"", "\"16 * tile_m\"");
    EXPECT_THAT(load_template(wide.path())
                    .violated(candidate_of(load_template(wide.path()), "tile_m=128"), target_facts("sm_90a")),
                HasSubstr("more than 1024 threads"));
    const ChangedToy heavy("\"shared_bytes\": \"shared\"", "\"shared_bytes\": \"shared * 4\"");
    EXPECT_THAT(load_template(heavy.path())
                    .violated(candidate_of(load_template(heavy.path()), "tile_n=128"), target_facts("sm_90a")),
                HasSubstr("more shared memory than a block may use"));
    const ChangedToy half("\"2 * tile_m\"", "\"tile_m / 3\"");
    EXPECT_THAT(
        load_template(half.path()).violated(candidate_of(load_template(half.path()), ""), target_facts("sm_90a")),
        HasSubstr("'threads' is not an integer"));
}

TEST(TemplateTest, SaysWhyADeviceIsUnsupported) {
    const KernelTemplate toy = load_template(kToy);
    EXPECT_EQ(toy.unsupported_reason(target_facts("sm_90a")), "");
    EXPECT_THAT(toy.unsupported_reason(target_facts("native")), HasSubstr("is for a cuda device"));
    EXPECT_THAT(toy.unsupported_reason(target_facts("sm_120")), HasSubstr("sm_80 to sm_100"));
    EXPECT_THROW(static_cast<void>(target_facts("sm_42")), InputError);
    EXPECT_EQ(target_facts("sm_90a").shared_limit_bytes, 232448);
    EXPECT_EQ(target_facts("sm_80").shared_limit_bytes, 163 * 1024);
}

TEST(TemplateTest, GeneratesTheHeaderOfTheDocumentation) {
    const KernelTemplate toy = load_template(kToy);
    EXPECT_EQ(toy.tune_header(candidate_of(toy, "tile_m=128,tile_n=32,stages=3,p_mode=hilo")),
              "#pragma once\n\nstruct Tune {\n"
              "    static constexpr int tile_m = 128;\n"
              "    static constexpr int tile_n = 32;\n"
              "    static constexpr int stages = 3;\n"
              "    static constexpr int p_mode_bf16 = 0, p_mode_fp16 = 1, p_mode_hilo = 2;\n"
              "    static constexpr int p_mode = p_mode_hilo;\n"
              "    static constexpr int threads = 256;\n"
              "    static constexpr int shared = 81920;\n"
              "};\n");
}

TEST(TemplateTest, BundleHoldsSourcesAndBothHeaders) {
    const KernelTemplate toy = load_template(kToy);
    std::vector<std::string> names;
    for (const SourceFile& file : toy.source_bundle(candidate_of(toy, ""))) {
        names.push_back(file.name);
        EXPECT_THAT(file.text, HasSubstr(file.name == "attune/attn_args.h" ? "struct alignas(64) AttnArgs"
                                         : file.name == "attune_tune.h"    ? "struct Tune"
                                                                           : "__global__"));
    }
    EXPECT_THAT(names, ElementsAre("kernel.cu", "attune/attn_args.h", "attune_tune.h"));
}

TEST(TemplateTest, PlansLaunchesOnAShape) {
    const KernelTemplate toy = load_template(kToy);
    const CallShape shape{2, 8, 1024, 40};
    const LaunchPlan plain = toy.plan(candidate_of(toy, "tile_m=128,stages=2"), shape, target_facts("sm_90a"));
    ASSERT_EQ(plain.kernels.size(), 1U);
    EXPECT_EQ(plain.kernels[0].entry, "forward");
    EXPECT_THAT(plain.kernels[0].grid, ElementsAre(8, 8, 2));
    EXPECT_EQ(plain.kernels[0].threads, 256);
    EXPECT_EQ(plain.kernels[0].shared_bytes, 163840);
    EXPECT_EQ(plain.kernels[0].cluster, 2);
    EXPECT_EQ(plain.workspace_bytes, 256);
    EXPECT_EQ(plain.workspace_clear_bytes, 256);
    ASSERT_EQ(plain.tensor_maps.size(), 2U);
    EXPECT_EQ(plain.tensor_maps[0].rows, 128);
    EXPECT_EQ(plain.tensor_maps[0].swizzle_bytes, 128);
    EXPECT_EQ(plain.tensor_maps[1].tensor, TensorMapPlan::Tensor::workspace);
    EXPECT_TRUE(plain.tensor_maps[1].fp16);
    EXPECT_EQ(plain.tensor_maps[1].workspace_offset_bytes, 256);

    const LaunchPlan converting = toy.plan(candidate_of(toy, "p_mode=fp16"), shape, target_facts("sm_90a"));
    ASSERT_EQ(converting.kernels.size(), 2U);
    EXPECT_THAT(converting.kernels[0].grid, ElementsAre(16, 16, 1));
    EXPECT_EQ(converting.workspace_bytes, 256 + 256 * 2 * 8 * 1024);
}

TEST(TemplateTest, PlanRefusesGeometryThatIsNoNumberOfItsPlace) {
    const auto plan_error = [](const std::string& from, const std::string& to) {
        const ChangedToy changed(from, to);
        const KernelTemplate toy = load_template(changed.path());
        try {
            static_cast<void>(toy.plan(candidate_of(toy, ""), CallShape{1, 4, 128, 1}, target_facts("sm_90a")));
        } catch (const InputError& error) {
            return std::string(error.what());
        }
        return std::string("no error");
    };
    EXPECT_THAT(plan_error("\"heads\", \"batch\"]", "\"heads / 3\", \"batch\"]"), HasSubstr("an integer belongs"));
    EXPECT_THAT(plan_error("\"heads\", \"batch\"]", "\"heads / 0\", \"batch\"]"), HasSubstr("an integer belongs"));
    EXPECT_THAT(plan_error("\"heads\", \"batch\"]", "\"heads - 4\", \"batch\"]"), HasSubstr("not in 1..65535"));
    EXPECT_THAT(plan_error("\"swizzle\": 128", "\"swizzle\": 48"), HasSubstr("0, 32, 64 or 128"));
    EXPECT_THAT(plan_error("\"clear_bytes\": 256", "\"clear_bytes\": 512"), HasSubstr("not in 0..256"));
}

TEST(TemplateTest, EveryMistakeNamesItsPlace) {
    EXPECT_THAT(load_error("\"summary\"", "\"sumary\""), HasSubstr("did you mean 'summary'?"));
    EXPECT_THAT(load_error("\"cuda\"", "\"cud\""), HasSubstr("did you mean 'cuda'?"));
    EXPECT_THAT(load_error("\"kernel.cu\"", "\"kernel2.cu\""), HasSubstr("no file 'kernel2.cu'"));
    EXPECT_THAT(load_error("\"kernel.cu\"", "\"../toy/kernel.cu\""), HasSubstr("no file '../toy/kernel.cu'"));
    EXPECT_THAT(load_error("\"min_arch\": 80", "\"min_arch\": \"80\""),
                HasSubstr("key 'min_arch': must be an integer"));
    EXPECT_THAT(load_error("\"max_arch\": 100", "\"max_arch\": 75"), HasSubstr("key 'max_arch': must be an integer"));
    EXPECT_THAT(load_error("[64, 128]", "[]"), HasSubstr("item 1: key 'values': is empty"));
    EXPECT_THAT(load_error("[64, 128]", "[64, 64]"), HasSubstr("the value 64 is listed twice"));
    EXPECT_THAT(load_error("[64, 128]", "[64, \"x\"]"), HasSubstr("must be an integer"));
    EXPECT_THAT(load_error("[64, 128]", "[64, 5000000000]"), HasSubstr("must be an integer from"));
    EXPECT_THAT(load_error("\"bf16\", \"fp16\"", "\"bf 16\", \"fp16\""), HasSubstr("cannot be a word"));
    EXPECT_THAT(load_error("\"default\": 64", "\"default\": 96"),
                HasSubstr("key 'default': parameter 'tile_m' has no value"));
    EXPECT_THAT(load_error("\"name\": \"stages\"", "\"name\": \"tile_m\""), HasSubstr("'tile_m' is taken twice"));
    EXPECT_THAT(load_error("\"name\": \"stages\"", "\"name\": \"batch\""), HasSubstr("'batch' is taken twice"));
    EXPECT_THAT(load_error("\"name\": \"shared\"", "\"name\": \"2x\""), HasSubstr("'2x' cannot be a name"));
    EXPECT_THAT(load_error("\"2 * tile_m\"", "\"2 * shared\""),
                HasSubstr("key 'derived': item 1: key 'value': unknown name 'shared'"));
    EXPECT_THAT(load_error("shared <= shared_per_sm / 2", "shared <= share_per_sm"),
                HasSubstr("key 'constraints': item 1: key 'require': unknown name 'share_per_sm' (did you mean "
                          "'shared_per_sm'?)"));
    EXPECT_THAT(load_error("\"block\": \"threads\"", "\"block\": \"threads * batch\""),
                HasSubstr("unknown name 'batch'"));
    EXPECT_THAT(load_error("\"heads\", \"batch\"]", "\"heads\"]"), HasSubstr("must list three extents"));
    EXPECT_THAT(load_error("\"tensor\": \"q\"", "\"tensor\": \"x\""), HasSubstr("unknown value \"x\""));
    EXPECT_THAT(load_error("\"tensor\": \"workspace\"", "\"tensor\": \"k\""), HasSubstr("leave it out"));
    EXPECT_THAT(load_error("\"workspace\": {\"bytes\"", "\"workspace\": {\"byte\""),
                HasSubstr("did you mean 'bytes'?"));
    EXPECT_THAT(load_error("\"entry\": \"forward\"", "\"entry\": \"for-ward\""), HasSubstr("no function name"));
    EXPECT_THAT(load_error(kToy / "nothing"), HasSubstr("nothing"));
}

TEST(TemplateTest, ReadsNothingOutsideItsFolder) {
    const ChangedToy linked("toy", "toy");
    fs::create_symlink("/etc/passwd", linked.path() / "notes.h");
    EXPECT_THAT(load_error(linked.path()), HasSubstr("notes.h: is a symbolic link"));

    const ChangedToy hidden("toy", "toy");
    hidden.folder().write("toy/.swap", "x");
    hidden.folder().write("toy/kernel.cu~", "x");
    hidden.folder().write("toy/.git/config", "x");
    hidden.folder().write("toy/parts/tile.h", "// part\n");
    std::vector<std::string> names;
    const KernelTemplate found = load_template(hidden.path());
    for (const SourceFile& file : found.files())
        names.push_back(file.name);
    EXPECT_THAT(names, ElementsAre("kernel.cu", "parts/tile.h", "template.json"));

    const ChangedToy clashing("toy", "toy");
    clashing.folder().write("toy/attune_tune.h", "x");
    EXPECT_THAT(load_error(clashing.path()), HasSubstr("the driver provides attune_tune.h"));

    const ChangedToy large("toy", "toy");
    large.folder().write("toy/blob.h", std::string(kMaxTemplateFileBytes + 1, 'x'));
    EXPECT_THAT(load_error(large.path()), HasSubstr("blob.h: larger than"));

    const ChangedToy many("toy", "toy");
    for (std::size_t i = 0; i < kMaxTemplateFiles; ++i)
        many.folder().write("toy/f" + std::to_string(i), "x");
    EXPECT_THAT(load_error(many.path()), HasSubstr("more than 64 files"));
}

TEST(TemplateTest, RestrictionNarrowsValuesAndAddsConstraints) {
    const KernelTemplate toy = load_template(kToy);
    SpaceRestriction restriction;
    restriction.where = "study.json: key 'space'";
    restriction.values = {{"p_mode", {"hilo", "fp16"}}, {"tile_n", {"64", "128"}}};
    restriction.constraints = {{{"stages < 3", "study.json: c"}, "short pipelines only"}};
    const KernelTemplate narrow = toy.restricted(restriction);
    const Space space = narrow.space(target_facts("sm_90a"));
    EXPECT_EQ(space.combinations(), 2U * 2U * 3U * 2U);
    // tile_n keeps the template's default; p_mode lost its own and takes the first value listed.
    EXPECT_EQ(space.describe(space.defaults()), "tile_m=64,tile_n=128,stages=1,p_mode=hilo");
    EXPECT_EQ(narrow.violated(candidate_of(narrow, "tile_n=64,stages=3"), target_facts("sm_90a")),
              "short pipelines only");
    // A word keeps the number the kernel knows it by, and the kernel still sees all words.
    EXPECT_THAT(
        narrow.tune_header(space.defaults()),
        HasSubstr("p_mode_bf16 = 0, p_mode_fp16 = 1, p_mode_hilo = 2;\n    static constexpr int p_mode = p_mode_hilo"));
    EXPECT_FALSE(narrow.legal(candidate_of(narrow, "tile_n=64,stages=3"), target_facts("sm_90a")));
    EXPECT_EQ(toy.space(target_facts("sm_90a")).combinations(), 54U);
}

TEST(TemplateTest, RestrictionMistakesNameTheirPlace) {
    const KernelTemplate toy = load_template(kToy);
    const auto error = [&](const SpaceRestriction::Values& values) {
        try {
            static_cast<void>(toy.restricted({{values}, {}, "s.json: key 'space'"}));
        } catch (const InputError& thrown) {
            return std::string(thrown.what());
        }
        return std::string("no error");
    };
    EXPECT_EQ(error({"tile_k", {"64"}}),
              "s.json: key 'space': key 'values': key 'tile_k': no parameter 'tile_k'; did you mean 'tile_m'?");
    EXPECT_THAT(error({"tile_m", {"65"}}), HasSubstr("has no value '65'; write one of: 64, 128"));
    EXPECT_THAT(error({"tile_m", {"64", "64"}}), HasSubstr("listed twice"));
    EXPECT_THAT(error({"tile_m", {}}), HasSubstr("list at least one value"));
}

TEST(TemplateTest, ShippedTemplatesLoadAndTheirDefaultsAreLegal) {
    for (const auto& entry : fs::directory_iterator(fs::path(ATTUNE_SOURCE_DIR) / "kernel_templates")) {
        if (!fs::exists(entry.path() / "template.json")) continue;
        SCOPED_TRACE(entry.path().string());
        const KernelTemplate shipped = load_template(entry.path());
        const TargetFacts target = shipped.usual_target();
        const Space space = shipped.space(target);
        EXPECT_EQ(shipped.violated(space.defaults(), target), "");
        EXPECT_FALSE(shipped.plan(space.defaults(), CallShape{1, 2, 256, 3}, target).kernels.empty());
    }
}

}  // namespace
}  // namespace attune
