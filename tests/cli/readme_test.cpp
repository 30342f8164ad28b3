// The README's own commands, run as they stand there, in a copy of what they need.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "core/shell.h"

namespace attune {
namespace {

using testing::HasSubstr;

namespace fs = std::filesystem;

constexpr int kEnvironment = 3;

/// The ```sh blocks under a heading of the README.
std::vector<std::string> commands_under(const std::string& heading) {
    const std::string page = read_file(fs::path(ATTUNE_SOURCE_DIR) / "README.md");
    const auto start = page.find("\n## " + heading);
    EXPECT_NE(start, std::string::npos) << heading;
    const std::string section = page.substr(start, page.find("\n## ", start + 1) - start);
    std::vector<std::string> blocks;
    for (auto at = section.find("```sh\n"); at != std::string::npos; at = section.find("```sh\n", at)) {
        at += 6;
        blocks.push_back(section.substr(at, section.find("```", at) - at));
    }
    return blocks;
}

/// A fresh clone after scripts/setup, as far as the README's commands need one.
class Readme : public testing::Test {
  protected:
    Readme() {
        fs::create_directory(folder_.path() / "build");
        fs::copy_file(ATTUNE_BINARY, folder_.path() / "build/attune");
        for (const char* part : {"kernel_templates", "configs"})
            fs::copy(fs::path(ATTUNE_SOURCE_DIR) / part, folder_.path() / part, fs::copy_options::recursive);
        fs::create_directory(folder_.path() / "results");
        fs::copy(fs::path(ATTUNE_SOURCE_DIR) / "results/h200", folder_.path() / "results/h200",
                 fs::copy_options::recursive);
        folder_.write("scripts/setup", "#!/bin/sh\n");  // has been run: there is a build/attune
        fs::permissions(folder_.path() / "scripts/setup", fs::perms::owner_all);
    }

    [[nodiscard]] Ran run(const std::string& commands) const {
        const std::string script = folder_.write("commands.sh", commands).string();
        return shell(fmt::format("cd {0} && unset ATTUNE_DB && ATTUNE_CACHE={0}/cache bash -e {1}",
                                 folder_.path().string(), script));
    }

    TempFolder folder_;
};

TEST_F(Readme, TheShippedRecordTellsWhichKnobMatteredMost) {
    const auto blocks = commands_under("Ask");
    ASSERT_EQ(blocks.size(), 1U);
    EXPECT_EQ(std::count(blocks[0].begin(), blocks[0].end(), '\n'), 3) << "three commands";
    const Ran ran = run(blocks[0]);
    ASSERT_EQ(ran.code, 0) << ran.output();
    EXPECT_THAT(ran.output(), HasSubstr("\np_mode\t0.10"));
    EXPECT_THAT(read_file(folder_.path() / "morning.html"), HasSubstr("What each parameter is worth"));
}

TEST_F(Readme, ATemplateOfYourOwnIsTunedByItsSteps) {
    const auto blocks = commands_under("A template of your own");
    ASSERT_EQ(blocks.size(), 2U);
    const Ran ran = run(blocks[0]);
    ASSERT_EQ(ran.code, 0) << ran.output();
    EXPECT_THAT(ran.output(), HasSubstr("unroll\t"));
    const std::string source = run("build/attune show 1 --study mine --json").output();
    EXPECT_THAT(source, HasSubstr("#pragma GCC unroll Tune::unroll"));
    EXPECT_THAT(source, HasSubstr("static constexpr int unroll = 1;"));
    const std::string timed =
        run("build/attune query --study mine --where \"outcome IN ('ok', 'pruned')\" --columns params").output();
    EXPECT_THAT(timed, HasSubstr("unroll="));
}

TEST_F(Readme, ATemplateForAGpuIsCompiledByItsSteps) {
    const auto blocks = commands_under("A template of your own");
    ASSERT_EQ(blocks.size(), 2U);
    const Ran ran = run(blocks[1]);
    if (ran.code == kEnvironment) GTEST_SKIP() << ran.output();
    ASSERT_EQ(ran.code, 0) << ran.output();
    EXPECT_THAT(ran.output(), HasSubstr("tile_m="));
}

}  // namespace
}  // namespace attune
