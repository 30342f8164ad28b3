#include "config/study.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/template.h"
#include "core/error.h"
#include "core/temp_folder.h"

namespace attune {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const fs::path kShare = ATTUNE_SOURCE_DIR;

class StudyTest : public testing::Test {
  protected:
    StudyTest() {
        fs::copy(kShare / "tests/core/data/toy", folder.path() / "toy", fs::copy_options::recursive);
        folder.write("one.json", "[" + case_text("a", "sliding_window", 0, 0) + "]");
        folder.write("cases.json", "[" + case_text("a", "sliding_window", 0, 0) + "," +
                                       case_text("b", "sliding_window_global", 1, 0) + "," +
                                       case_text("c", "sliding_window_retrieval", 0, 1) + "]");
    }

    [[nodiscard]] static std::string case_text(const std::string& id, const std::string& family, int globals,
                                               int retrieved) {
        return R"({"case_id": ")" + id + R"(", "family": ")" + family +
               R"(", "batch_size": 1, "num_heads": 1, "t_max": 512, "window_blocks": 2, "seed": 1, "global_blocks": )" +
               std::to_string(globals) + R"(, "retrieval_blocks": )" + std::to_string(retrieved) + "}";
    }

    /// A study of the toy template, with `more` members.
    [[nodiscard]] Study load(const std::string& more) const {
        const std::string text = R"({"name": "s", "template": "./toy", "suite": "quick")" + more + "}";
        return load_study(folder.write("study.json", text), kShare);
    }
    [[nodiscard]] std::string error(const std::string& more) const {
        return error_of(R"({"name": "s", "template": "./toy", "suite": "quick")" + more + "}");
    }
    [[nodiscard]] std::string error_of(const std::string& text) const {
        try {
            static_cast<void>(load_study(folder.write("study.json", text), kShare));
        } catch (const InputError& thrown) {
            EXPECT_THAT(thrown.what(), AllOf(HasSubstr("study.json"), Not(HasSubstr("\n"))));
            return thrown.what();
        }
        return "no error";
    }

    TempFolder folder;
};

TEST_F(StudyTest, ReadsEveryKey) {
    const Study study = load(R"(, "space": {"values": {"tile_m": [64], "p_mode": ["hilo", "bf16"]},
        "constraints": [{"require": "stages < 3", "because": "short"}]}, "baseline": {"tile_n": 64, "p_mode": "hilo"},
        "strategy": "random", "seed": 18446744073709551615, "measure": {"draws": 5, "confidence": 0.99})");
    EXPECT_EQ(study.name, "s");
    EXPECT_EQ(study.template_name, "toy");
    EXPECT_EQ(study.suite.name, "quick");
    EXPECT_EQ(study.suite.cases.size(), 3U);
    EXPECT_EQ(study.strategy, "random");
    EXPECT_EQ(study.seed, 18446744073709551615U);
    EXPECT_EQ(study.measure.draws, 5);
    EXPECT_EQ(study.measure.confidence, 0.99);
    EXPECT_EQ(study.measure.max_pairs, MeasureSettings().max_pairs);
    const KernelTemplate narrow = load_template(study.template_folder).restricted(study.space);
    const Space space = narrow.space(target_facts("sm_90a"));
    EXPECT_EQ(space.combinations(), 1U * 3U * 3U * 2U);
    EXPECT_EQ(space.describe(space.parse(study.baseline, space.defaults())),
              "tile_m=64,tile_n=64,stages=1,p_mode=hilo");
}

TEST_F(StudyTest, FindsFilesBesideItselfAndBuiltInNames) {
    folder.write("narrow.json", R"({"values": {"tile_m": [128]}})");
    const Study study = load_study(
        folder.write("study.json",
                     R"({"name": "x-1", "template": "./toy/", "suite": "./cases.json", "space": "./narrow.json"})"),
        kShare);
    EXPECT_EQ(study.suite.cases.size(), 3U);
    EXPECT_EQ(study.space.values.size(), 1U);
    const Study built_in =
        load_study(folder.write("cpu.json", R"({"name": "cpu", "template": "cpu_blocked", "suite": "smoke"})"), kShare);
    EXPECT_EQ(built_in.template_name, "cpu_blocked");
}

TEST_F(StudyTest, UnknownKeysAndMissingOnes) {
    EXPECT_THAT(error(R"(, "strateg": "random")"), HasSubstr("unknown key 'strateg'; did you mean 'strategy'?"));
    EXPECT_THAT(error_of(R"({"template": "./toy", "suite": "quick"})"), HasSubstr("key 'name' is missing"));
    EXPECT_THAT(error_of(R"({"name": "s", "suite": "quick"})"), HasSubstr("key 'template' is missing"));
    EXPECT_THAT(error_of(R"({"name": "s", "template": "./toy"})"), HasSubstr("key 'suite' is missing"));
    EXPECT_THAT(error_of("[]"), HasSubstr("must be an object"));
    EXPECT_THAT(error_of("{"), HasSubstr("line 1, column"));
}

TEST_F(StudyTest, NamesThatLeadNowhere) {
    EXPECT_THAT(error_of(R"({"name": "s", "template": "cpu_blockd", "suite": "quick"})"),
                AllOf(HasSubstr("no built-in template 'cpu_blockd'"), HasSubstr("cpu_blocked")));
    EXPECT_THAT(error_of(R"({"name": "s", "template": "./none", "suite": "quick"})"), HasSubstr("no template.json in"));
    EXPECT_THAT(error_of(R"({"name": "s", "template": "./toy", "suite": "quik"})"),
                AllOf(HasSubstr("no built-in suite 'quik'"), HasSubstr("quick")));
    EXPECT_THAT(error_of(R"({"name": "s", "template": "./toy", "suite": "./none.json"})"), HasSubstr("no such file"));
    EXPECT_THAT(error_of(R"({"name": "s", "template": "./toy", "suite": "./one.json"})"),
                HasSubstr("no case of family sliding_window_global"));
    EXPECT_THAT(error(R"(, "space": "none")"), HasSubstr("no built-in space 'none'"));
    EXPECT_THAT(error(R"(, "space": "./none.json")"), HasSubstr("no such file"));
    EXPECT_THAT(error_of(R"({"name": "Big Name", "template": "./toy", "suite": "quick"})"),
                HasSubstr("a-z, 0-9, _ and -"));
    EXPECT_THAT(error_of(R"({"name": "../up", "template": "./toy", "suite": "quick"})"),
                HasSubstr("a-z, 0-9, _ and -"));
}

TEST_F(StudyTest, WrongTypesAndImpossibleValues) {
    EXPECT_THAT(error(R"(, "seed": -1)"), HasSubstr("key 'seed': must be an integer from 0"));
    EXPECT_THAT(error(R"(, "seed": 1.5)"), HasSubstr("key 'seed'"));
    EXPECT_THAT(error(R"(, "strategy": 3)"), HasSubstr("key 'strategy': must be a text"));
    EXPECT_THAT(error(R"(, "measure": {"draws": 0})"),
                HasSubstr("key 'measure': key 'draws': must be an integer from 1"));
    EXPECT_THAT(error(R"(, "measure": {"confidence": 1.0})"), HasSubstr("key 'confidence': must be a number from 0.5"));
    EXPECT_THAT(error(R"(, "measure": {"min_samples": 9, "max_samples": 8})"),
                HasSubstr("max_samples is below min_samples"));
    EXPECT_THAT(error(R"(, "measure": {"min_pairs": 90, "max_pairs": 80})"), HasSubstr("max_pairs is below min_pairs"));
    EXPECT_THAT(error(R"(, "measure": {"pairs": 8})"), HasSubstr("unknown key 'pairs'"));
    EXPECT_THAT(error(R"(, "baseline": "tile_m=64")"), HasSubstr("key 'baseline': must be an object"));
    EXPECT_THAT(error(R"(, "baseline": {"tile_m": 65})"),
                HasSubstr("key 'baseline': parameter 'tile_m' has no value '65'"));
    EXPECT_THAT(error(R"(, "baseline": {"tile": 64})"), HasSubstr("no parameter 'tile'"));
    EXPECT_THAT(error(R"(, "baseline": {"tile_m": true})"), HasSubstr("must be an integer"));
}

TEST_F(StudyTest, SpacesThatCannotBeSearched) {
    EXPECT_THAT(error(R"(, "space": 3)"), HasSubstr("key 'space'"));
    EXPECT_THAT(error(R"(, "space": {"value": {}})"), HasSubstr("did you mean 'values'?"));
    EXPECT_THAT(error(R"(, "space": {"values": {"tile_q": [1]}})"), HasSubstr("key 'tile_q': no parameter 'tile_q'"));
    EXPECT_THAT(error(R"(, "space": {"values": {"tile_m": []}})"), HasSubstr("key 'tile_m': an empty list"));
    EXPECT_THAT(error(R"(, "space": {"values": {"tile_m": [96]}})"),
                HasSubstr("has no value '96'; write one of: 64, 128"));
    EXPECT_THAT(error(R"(, "space": {"constraints": [{"require": "tile_m >"}]})"),
                HasSubstr("key 'because' is missing"));
    EXPECT_THAT(error(R"(, "space": {"constraints": [{"require": "tile_m >", "because": "x"}]})"),
                AllOf(HasSubstr("key 'constraints': item 1: key 'require'"), HasSubstr("`tile_m >`")));
    EXPECT_THAT(error(R"(, "space": {"constraints": [{"require": "tile_m > 128", "because": "x"}]})"),
                HasSubstr("none of its 54 combinations is legal"));
}

TEST_F(StudyTest, ShippedStudiesLoad) {
    int loaded = 0;
    for (const auto& entry : fs::directory_iterator(kShare / "configs/studies")) {
        SCOPED_TRACE(entry.path().string());
        EXPECT_EQ(load_study(entry.path(), kShare).name, entry.path().stem().string());
        ++loaded;
    }
    EXPECT_GE(loaded, 4);
}

}  // namespace
}  // namespace attune
