// `attune report --watch`: the page follows the study until it is told to stop.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "faults/program.h"
#include "store/sample_record.h"
#include "store/store.h"

namespace attune {
namespace {

void add_iteration(const std::filesystem::path& database, int n) {
    Store store(database);
    store.open_study(sample_study(), sample_template());
    store.finish(sample_record(n), {});
}

bool comes_to_hold(const std::filesystem::path& page, const std::string& text) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (std::chrono::steady_clock::now() < deadline) {
        if (read_file(page).find(text) != std::string::npos) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
}

TEST(Watch, RewritesThePageAsTheStudyGrows) {
    constexpr int kStopped = 130;
    const TempFolder folder;
    const std::filesystem::path database = folder.path() / "attune.db";
    const std::filesystem::path page = folder.path() / "page.html";
    add_iteration(database, 0);
    testing::Program program({ATTUNE_BINARY, "report", "--watch", "--db", database.string(), "--to", page.string()}, {},
                             folder.path() / "log");
    ASSERT_TRUE(comes_to_hold(page, "<b>1</b><span>iterations")) << read_file(folder.path() / "log");
    EXPECT_TRUE(comes_to_hold(page, "http-equiv=\"refresh\"")) << "the open page reloads itself";
    add_iteration(database, 1);
    EXPECT_TRUE(comes_to_hold(page, "<b>2</b><span>iterations"));
    program.signal(SIGINT);
    EXPECT_EQ(program.wait().code, kStopped);
}

}  // namespace
}  // namespace attune
