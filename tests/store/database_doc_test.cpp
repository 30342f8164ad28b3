// docs/database.md: its queries run, and answer what they say they answer; its columns are the views'.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "core/temp_folder.h"
#include "store/query.h"
#include "store/sample_record.h"
#include "store/store.h"

namespace attune {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

class Collect : public RowSink {
  public:
    void columns(const std::vector<std::string>& names) override { header = names; }
    bool row(std::span<const Cell> cells) override {
        std::vector<std::string> texts;
        for (const Cell& cell : cells) {
            if (const auto* number = std::get_if<std::int64_t>(&cell)) {
                texts.push_back(fmt::format("{}", *number));
            } else if (const auto* real = std::get_if<double>(&cell)) {
                texts.push_back(fmt::format("{:.4g}", *real));
            } else if (const auto* text = std::get_if<std::string_view>(&cell)) {
                texts.emplace_back(*text);
            } else {
                texts.emplace_back("-");
            }
        }
        rows.push_back(fmt::format("{}", fmt::join(texts, "|")));
        return true;
    }
    std::vector<std::string> header;
    std::vector<std::string> rows;
};

class DatabaseDocTest : public ::testing::Test {
  protected:
    /// Twelve correct variants where tile_n decides the score and stages do not, one of them within noise; two
    /// failures.
    void SetUp() override {
        Store store(db_path());
        store.open_study(sample_study(), sample_template());
        const double by_tile[] = {0.06, 0.04, 0.05};
        for (int i = 0; i < 12; ++i) {
            IterationRecord record = sample_record(i, i < 2 ? Status::keep : Status::discard, by_tile[i % 3]);
            record.compile_s = 36.0;
            record.device_s = 3.6;
            if (i == 4) record.pair = PairRecord{2, 1.002, 0.999, 1.005, 40};
            if (i == 7) record.pair = PairRecord{2, 1.05, 1.04, 1.06, 40};
            store.finish(record, sample_sources(i));
        }
        store.finish(sample_crash(12), {});
        store.finish(sample_crash(13), {});
    }
    std::filesystem::path db_path() const { return folder.path() / "attune.db"; }

    static std::string document() { return read_file(std::filesystem::path(ATTUNE_SOURCE_DIR) / "docs/database.md"); }

    /// The queries of the document, in order.
    static std::vector<std::string> questions() {
        const std::string text = document();
        std::vector<std::string> found;
        const std::string open = "```sql\n";
        for (auto at = text.find(open); at != std::string::npos; at = text.find(open, at + 1)) {
            found.push_back(text.substr(at + open.size(), text.find("```", at + open.size()) - at - open.size()));
        }
        return found;
    }
    std::vector<std::string> answer(std::size_t question) {
        Collect collect;
        run_query(db_path(), questions().at(question - 1), {}, collect);
        return collect.rows;
    }
    TempFolder folder;
};

TEST_F(DatabaseDocTest, TenQuestionsAreAnswered) {
    ASSERT_EQ(questions().size(), 10U);
    EXPECT_THAT(answer(1), ElementsAre("flagship|NVIDIA H200|2|0.04|tile_n=64,stages=1,exp=native"));
    EXPECT_THAT(answer(2), ElementsAre(StartsWith("1|0.06|-|"), StartsWith("2|0.04|-0.01|")));
    EXPECT_THAT(answer(3), ElementsAre("flagship|tile_n|3|0.5|64", "flagship|exp|1|0|native", "flagship|stages|4|0|1"));
    EXPECT_THAT(answer(4), ElementsAre("64|5|1|0.04|0.04", "128|4|0|0.05|0.05", "32|5|1|0.06|0.06"));
    EXPECT_THAT(answer(5), ElementsAre("96|12|0|0.04"));
    EXPECT_THAT(answer(6), ElementsAre("ok|12|0.12|0.012", "compile_error|2|0|0"));
    EXPECT_THAT(answer(7), ElementsAre("compile_error|kernel.cpp(3): error: no\n|2|13"));
    EXPECT_THAT(answer(8), ElementsAre("flagship|5|2|1.002|0.999|1.005|tile_n=64,stages=2,exp=native"));
    EXPECT_THAT(answer(9),
                ElementsAre(MatchesRegex("flagship\\|20[0-9-]+\\|14\\|2\\|2\\|0.04\\|[0-9.]+\\|NVRTC 13.0\\|1")));
    EXPECT_THAT(answer(10), ElementsAre("g|0.04|0.04196|0", "r|0.08|0.08392|0", "w|0.02|0.02098|0"));
}

TEST_F(DatabaseDocTest, EveryColumnOfEveryViewIsDocumented) {
    const std::string text = document();
    const auto words = [&] {
        std::set<std::string> found;
        const std::regex word("[a-z0-9_]+");
        for (std::sregex_iterator it(text.begin(), text.end(), word), end; it != end; ++it)
            found.insert(it->str());
        return found;
    }();
    for (const char* view : {"iterations", "best", "cases", "stresses", "kernels", "params", "knobs", "sources"}) {
        Collect collect;
        run_query(db_path(), fmt::format("SELECT * FROM {} LIMIT 0", view), {}, collect);
        EXPECT_THAT(collect.header, Not(IsEmpty()));
        for (const std::string& column : collect.header)
            EXPECT_TRUE(words.contains(column)) << view << '.' << column;
    }
}

}  // namespace
}  // namespace attune
