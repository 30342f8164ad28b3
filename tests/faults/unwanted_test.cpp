// What must not happen even when a file, a template or a database is hostile, through the built program.

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "faults/program.h"

namespace attune {
namespace {

namespace fs = std::filesystem;
using testing::Ended;
using ::testing::HasSubstr;
using testing::Workshop;

constexpr int kInput = 2;

class UnwantedTest : public ::testing::Test {
  protected:
    /// A study of our own beside a copy of the fault template, both free to be spoiled.
    void copy_study() {
        fs::create_directories(workshop_.path("study"));
        fs::copy(testing::data("cpu_faults"), workshop_.path("study/cpu_faults"), fs::copy_options::recursive);
        for (const char* name : {"healthy.json", "tiny_suite.json"})
            fs::copy(testing::data(name), workshop_.path("study") / name);
    }
    Ended tune() {
        return workshop_.run({"tune", workshop_.path("study/healthy.json"), "--device", "cpu", "--max-iters", "1"});
    }
    void write(const std::string& name, const std::string& text) {
        std::ofstream(workshop_.path("study") / name, std::ios::binary) << text;
    }
    void expect_refused(const std::string& words) {
        const Ended ended = tune();
        EXPECT_EQ(ended.code, kInput) << ended.err;
        EXPECT_THAT(ended.err, HasSubstr(words));
        EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
        EXPECT_FALSE(fs::exists(workshop_.database()));
    }
    void record_one() {
        workshop_.warm_cache();
        ASSERT_EQ(workshop_.run({"tune", testing::data("healthy.json"), "--device", "cpu", "--max-iters", "1"}).code,
                  0);
    }
    Workshop workshop_;
};

TEST_F(UnwantedTest, ATemplateReadsNothingOutsideItsFolder) {
    copy_study();
    fs::create_symlink("/etc/hostname", workshop_.path("study/cpu_faults/secrets.h"));
    expect_refused("symbolic link");
    fs::remove(workshop_.path("study/cpu_faults/secrets.h"));
    fs::create_directory_symlink("/etc", workshop_.path("study/cpu_faults/more"));
    expect_refused("symbolic link");
    fs::remove(workshop_.path("study/cpu_faults/more"));
    std::string description = read_file(workshop_.path("study/cpu_faults/template.json"));
    description.replace(description.find("\"kernel.cpp\""), 12, "\"../healthy.json\"");
    write("cpu_faults/template.json", description);
    expect_refused("no file '../healthy.json'");
}

TEST_F(UnwantedTest, AStudyWritesNothingOutsideItsFolder) {
    copy_study();
    std::string study = read_file(workshop_.path("study/healthy.json"));
    study.replace(study.find("\"healthy\""), 9, "\"../../escape\"");
    write("healthy.json", study);
    expect_refused("names a folder");
}

TEST_F(UnwantedTest, JsonHasLimits) {
    copy_study();
    write("healthy.json", std::string(100'000, '['));
    expect_refused("healthy.json");
    write("healthy.json", std::string((16U << 20U) + 2, ' '));
    expect_refused("larger than");
    write("healthy.json", R"({"name": "a", "name": "b"})");
    expect_refused("name");
}

TEST_F(UnwantedTest, ExpressionsHaveLimits) {
    copy_study();
    const std::string study = read_file(workshop_.path("study/healthy.json"));
    const auto with = [&](const std::string& expression) {
        std::string text = study;
        text.replace(text.find("idle < 16"), 9, expression);
        write("healthy.json", text);
    };
    with(std::string(20'000, '(') + "1" + std::string(20'000, ')'));
    expect_refused("healthy.json");
    with("idle / (armed - armed) >= 0 || nothing_of_that_name");
    expect_refused("nothing_of_that_name");
}

TEST_F(UnwantedTest, RestoreStaysInItsFolder) {
    record_one();
    for (const std::string name : {"../escape", "a/../../escape", "/escape", "..", "link/escape"}) {
        SCOPED_TRACE(name);
        {
            SQLite::Database db(workshop_.database().string(), SQLite::OPEN_READWRITE);
            EXPECT_EQ(db.exec(fmt::format("UPDATE source_file SET name = '{}' WHERE name NOT IN ('template.json', "
                                          "'attune/attn_args.h')",
                                          name)),
                      1);
        }
        const fs::path to = workshop_.path("out/inner/restored");
        fs::create_directories(to);
        fs::create_directory_symlink(workshop_.path("out"), to / "link");
        const Ended ended = workshop_.run({"restore", "1", "--to", to, "--force"});
        EXPECT_NE(ended.code, 0);
        for (const auto& entry : fs::recursive_directory_iterator(workshop_.path("out"))) {
            EXPECT_NE(entry.path().filename(), "escape");
        }
        fs::remove_all(workshop_.path("out"));
    }
}

TEST_F(UnwantedTest, AReportShowsMarkupAndRunsNone) {
    record_one();
    const std::string hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>";
    {
        SQLite::Database db(workshop_.database().string(), SQLite::OPEN_READWRITE);
        for (const char* place : {"iteration SET description", "iteration SET params", "environment SET device_name",
                                  "environment SET host", "study SET suite"})
            db.exec(fmt::format("UPDATE {} = '{}'", place, hostile));
    }
    const fs::path page = workshop_.path("report.html");
    const Ended ended = workshop_.run({"report", "--to", page});
    ASSERT_EQ(ended.code, 0) << ended.err;
    const std::string html = read_file(page);
    EXPECT_THAT(html, HasSubstr("alert(1)"));  // it is shown
    EXPECT_EQ(html.find("<script>alert"), std::string::npos);
    EXPECT_EQ(html.find("<img src=x"), std::string::npos);
}

TEST_F(UnwantedTest, AQueryChangesNothing) {
    record_one();
    const auto text_of = [&] { return read_file(workshop_.database()); };
    const std::string before = text_of();
    for (const std::string sql :
         {"DELETE FROM iteration", "UPDATE study SET name = 'x'", "DROP VIEW best", "ATTACH '/tmp/other.db' AS o",
          "PRAGMA user_version = 9", "SELECT 1; DELETE FROM iteration", "SELECT load_extension('x')",
          "SELECT writefile('/tmp/x', 'y')", "CREATE TEMP TABLE t (a)", "VACUUM INTO '/tmp/copy.db'"}) {
        SCOPED_TRACE(sql);
        EXPECT_EQ(workshop_.run({"query", "--sql", sql}).code, kInput);
    }
    EXPECT_EQ(text_of(), before);
}

}  // namespace
}  // namespace attune
