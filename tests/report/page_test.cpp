// The page as a browser sees it: opened in headless Chromium, its document and pictures read back.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "core/error.h"
#include "core/shell.h"
#include "report/html.h"
#include "report/report.h"
#include "store/sample_record.h"
#include "store/store.h"

namespace attune {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kHostile =
    "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">'&\xff\x01";

void add(Store& store, const IterationRecord& record) {
    store.finish(record, {});
}

/// A night: a baseline, six better kernels, many that are not, and three kinds of failures.
void tune(const std::filesystem::path& database, int iterations) {
    Store store(database);
    store.open_study(sample_study(), sample_template());
    for (int i = 0; i < iterations; ++i) {
        if (i % 17 == 5) {
            IterationRecord crash = sample_crash(i, fmt::format("kernel.cu({}): error: {}\nmore\n", i, kHostile));
            crash.reproduce = fmt::format("attune try flagship --set {}", crash.params);
            if (i % 34 == 5) crash.outcome = Outcome::timeout;
            add(store, crash);
            continue;
        }
        const bool better = i % 20 == 0 && i <= 120;
        IterationRecord record =
            sample_record(i, better ? Status::keep : Status::discard, better ? 0.05 - 0.0001 * i : 0.0);
        record.description = i == 1 ? kHostile : record.description;
        if (better && i > 0) record.pair = PairRecord{i - 20, 0.98, 0.97, 0.99, 40};
        add(store, record);
    }
}

/// Runs Chromium on a page; the document as it is after all scripts, or an empty text.
std::string open_in_chromium(const std::string& url, const std::string& arguments) {
    const TempFolder profile;
    const std::string command = fmt::format(
        "timeout 240 chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir={} {} '{}'",
        profile.path().string(), arguments, url);
    const Ran ran = shell(command);
    EXPECT_EQ(ran.code, 0) << command << "\n" << ran.err;
    return ran.out;
}

std::string attribute(const std::string& document, const std::string& name) {
    std::smatch match;
    const std::regex pattern("<body[^>]* data-" + name + "=\"([^\"]*)\"");
    return std::regex_search(document, match, pattern) ? match[1].str() : "missing";
}

class Page : public testing::Test {
  protected:
    std::string write_page(int iterations) {
        tune(folder_.path() / "attune.db", iterations);
        html_ = report_html(Reader(folder_.path() / "attune.db"), {"flagship", "1.2.3", "2026-01-02 03:04", 0});
        return "file://" + folder_.write("page.html", html_).string();
    }
    TempFolder folder_;
    std::string html_;
};

TEST_F(Page, DrawsEveryIterationAndTheStaircase) {
    const std::string document = open_in_chromium(write_page(200), "--dump-dom");
    EXPECT_EQ(attribute(document, "charts"), "3");
    EXPECT_EQ(attribute(document, "keep"), "7");
    EXPECT_EQ(attribute(document, "crash"), "12");
    EXPECT_EQ(attribute(document, "discard"), "181");
    EXPECT_EQ(attribute(document, "stairs"), "7");
    EXPECT_DOUBLE_EQ(std::stod(attribute(document, "last")), 0.05 - 0.0001 * 120);
}

TEST_F(Page, SaysTheMorningsAnswersWithoutAnyScript) {
    write_page(200);
    EXPECT_THAT(html_, HasSubstr("<b>0.038000 ms</b>"));
    EXPECT_THAT(html_, HasSubstr("200</b><span>iterations: 7 keep, 181 discard, 12 crash"));
    EXPECT_THAT(html_, HasSubstr("share of the floor"));  // an H200's limits are known
    EXPECT_THAT(html_, HasSubstr("NVRTC 13.0"));
    EXPECT_THAT(html_, HasSubstr("attune try flagship --set"));
    const std::regex top("<section id=\"top\">[\\s\\S]*?</section>");
    std::smatch match;
    ASSERT_TRUE(std::regex_search(html_, match, top));
    const std::string section = match.str();
    const std::regex row("<tr>");
    EXPECT_EQ(std::distance(std::sregex_iterator(section.begin(), section.end(), row), {}), 1 + 10);
}

TEST_F(Page, HostileTextStaysText) {
    const std::string document = open_in_chromium(write_page(60), "--dump-dom");
    EXPECT_THAT(document, HasSubstr("<title>attune: flagship</title>"));
    EXPECT_THAT(document, Not(HasSubstr("<img")));
    EXPECT_THAT(document, HasSubstr("&lt;img src=x onerror="));
    EXPECT_THAT(document, HasSubstr("default-src 'none'"));
}

TEST_F(Page, AnAddressLeadsToItsRow) {
    const std::string document = open_in_chromium(write_page(200) + "#iter-150", "--dump-dom");
    EXPECT_THAT(document, testing::ContainsRegex("<tr id=\"row-149\" class=\"chosen\"><td>150</td>"));
}

/// Moves the mouse over the third kept iteration, clicks there, then asks for the chart by time; what came of each is
/// left in the body's attributes. Frames become timers: a headless browser draws none while it has nothing to show.
constexpr const char* kFrames = "<body><script>window.requestAnimationFrame = (work) => setTimeout(work, 16);</script>";
constexpr const char* kMouse = R"(<script>
addEventListener("load", () => {
  const at = (type) => {
    const chart = Chart.getChart("stairs");
    const point = chart.getDatasetMeta(0).data[2];
    const box = chart.canvas.getBoundingClientRect();
    chart.canvas.dispatchEvent(new MouseEvent(type, { clientX: box.left + point.x, clientY: box.top + point.y, bubbles: true }));
  };
  const told = document.body.dataset;
  at("mousemove");
  setTimeout(() => {
    const tooltip = Chart.getChart("stairs").tooltip;
    told.hover = [...tooltip.title, ...tooltip.body.flatMap((part) => part.lines)].join(" | ");
    at("click");
    setTimeout(() => {
      document.getElementById("by-time").click();
      told.axis = Chart.getChart("stairs").options.scales.x.title.text;
    }, 500);
  }, 500);
});
</script>)";

TEST_F(Page, HoverTellsParametersAndAClickLeadsToTheRow) {
    write_page(200);
    const std::string body = "<body>";
    std::string used = html_ + kMouse;
    used.replace(used.find(body), body.size(), kFrames);
    const std::string url = "file://" + folder_.write("used.html", used).string();
    const std::string document = open_in_chromium(url, "--window-size=1280,1600 --virtual-time-budget=5000 --dump-dom");
    EXPECT_THAT(attribute(document, "hover"), testing::StartsWith("iteration 41: keep | 0.046000 ms"));
    EXPECT_THAT(attribute(document, "hover"), HasSubstr("tile_n="));
    EXPECT_THAT(document, testing::ContainsRegex("<tr id=\"row-40\" class=\"chosen\"><td>41</td>"));
    EXPECT_THAT(attribute(document, "axis"), HasSubstr("since the first iteration ended"));
}

TEST_F(Page, OpensOffline) {
    write_page(5);
    // Whatever loads from elsewhere: addresses in attributes or styles. Chart.js names its home in a comment.
    EXPECT_FALSE(std::regex_search(html_, std::regex("(src|href)=\"(https?:)?//")));
    EXPECT_THAT(html_, Not(HasSubstr("@import")));
}

TEST_F(Page, DrawsPicturesOnScreensOfEverySize) {
    const std::string url = write_page(200);
    for (const auto& [name, arguments] :
         {std::pair{"desktop", "--window-size=1280,2400"}, std::pair{"phone", "--window-size=390,2400"},
          std::pair{"dark", "--window-size=1280,2400 --blink-settings=preferredColorScheme=0"}}) {
        const std::filesystem::path png = folder_.path() / (std::string(name) + ".png");
        open_in_chromium(url, fmt::format("{} --screenshot={}", arguments, png.string()));
        EXPECT_GT(read_file(png).size(), 20000U) << name;
    }
}

TEST_F(Page, ManyIterationsStaySmall) {
    const std::string document = open_in_chromium(write_page(10000), "--dump-dom");
    EXPECT_LT(html_.size(), 10U << 20U);
    EXPECT_EQ(attribute(document, "charts"), "3");
}

TEST_F(Page, AnEmptyStudyHasAPageToo) {
    {
        Store store(folder_.path() / "attune.db");
        store.open_study(sample_study(), sample_template());
    }
    const std::string page = report_html(Reader(folder_.path() / "attune.db"), {"flagship", "1", "now", 15});
    EXPECT_THAT(page, HasSubstr("No kernel has been kept yet."));
    EXPECT_THAT(page, HasSubstr("<meta http-equiv=\"refresh\" content=\"15\">"));
    const std::string document = open_in_chromium("file://" + folder_.write("page.html", page).string(), "--dump-dom");
    EXPECT_THAT(document, HasSubstr("No kernel has been kept yet."));
}

TEST_F(Page, TheCommandWritesPageAndPicture) {
    write_page(60);
    const std::string folder = folder_.path().string();
    const std::string report = fmt::format("{} report --db {}/attune.db", ATTUNE_BINARY, folder);
    const Ran both = shell(fmt::format("{0} --to {1}/out.html --png {1}/out.png", report, folder));
    ASSERT_EQ(both.code, 0) << both.output();
    EXPECT_GT(read_file(folder_.path() / "out.html").size(), 100000U);
    EXPECT_THAT(read_file(folder_.path() / "out.png"), testing::StartsWith("\x89PNG"));
    const Ran alone = shell(fmt::format("{} --png {}/alone.png", report, folder));
    ASSERT_EQ(alone.code, 0) << alone.err;
    EXPECT_EQ(alone.output(), folder + "/alone.png\n");
    EXPECT_THAT(read_file(folder_.path() / "alone.png"), testing::StartsWith("\x89PNG"));
    EXPECT_EQ(shell(fmt::format("{} --study nobody --to {}/no.html", report, folder)).code, 2);
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / "no.html"));
}

TEST(Html, EscapesEverythingThatCouldBeMarkup) {
    EXPECT_EQ(html_escape("<a href=\"x\">'&\x02"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp; ");
    EXPECT_EQ(html_escape("caf\xc3\xa9 \xff"), "caf\xc3\xa9 \xef\xbf\xbd");
    EXPECT_EQ(script_escape("{\"a\":\"</script><!--\"}"), "{\"a\":\"\\u003c/script>\\u003c!--\"}");
}

}  // namespace
}  // namespace attune
