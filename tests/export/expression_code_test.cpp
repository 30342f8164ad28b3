// Launch geometry leaves muParser when a package is exported: both generated languages must say what it says.

#include "export/expression_code.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>
#include <sstream>

#include "core/error.h"
#include "core/shell.h"
#include "export/geometry.h"

namespace attune {
namespace {

constexpr int kExpressions = 300;
// Every pair of these is drawn for two of the names: zeros of either sign, and both sides of what % and ^ tell apart.
constexpr std::array kValues{0.0, -0.0, 1.0, -1.0, 2.5, -3.0, 7.0, -128.0};
constexpr int kDraws = static_cast<int>(kValues.size() * kValues.size());
const std::vector<std::string> kPlain{"batch % t_max",          "batch / t_max",       "batch ^ t_max",
                                      "ceil_div(batch, t_max)", "min(batch, t_max)",   "max(batch, t_max)",
                                      "1 / floor(batch / 2)",   "1 / ceil(batch / 2)", "1 / (batch % t_max)"};

/// Random expressions of the grammar, with the parentheses and spaces people leave out and put in.
class Generator {
  public:
    explicit Generator(std::uint32_t seed) : random_(seed) {}

    std::string expression(int depth) {
        if (depth <= 0 || chance(5)) return atom();
        switch (pick(10)) {
            case 0:
                return "(" + expression(depth - 1) + ")";
            case 1:
                return fmt::format("{} ? {} : {}", comparison(depth - 1), expression(depth - 1), expression(depth - 1));
            case 2:
                return fmt::format("(-{})", atom());
            case 3:
                return fmt::format("{}({}, {})", any({"min", "max", "ceil_div"}), expression(depth - 1),
                                   expression(depth - 1));
            case 4:
                return fmt::format("{}({})", any({"floor", "ceil", "abs"}), expression(depth - 1));
            case 5:
                return fmt::format("{}^{}", atom(), any({"2", "-1", "2^2", "0.5", "-2^2"}));
            case 6:
                // Of comparisons alone: muParser cuts a fraction to an integer before it asks for its truth, but only
                // when it folds constants.
                return fmt::format("(({}){}({}))", comparison(0), any({"&&", " || "}), comparison(0));
            default:
                return fmt::format("{}{}{}", side(depth),
                                   any({"+", " - ", "*", "/", " % ", "<", " <= ", "==", "!=", ">", ">="}), side(depth));
        }
    }

  private:
    std::string side(int depth) { return chance(3) ? "-" + atom() : expression(depth - 1); }
    std::string comparison(int depth) {
        return fmt::format("{} {} {}", atom(), any({"<", "==", ">="}), expression(depth - 1));
    }
    std::string atom() {
        return any({"batch", "t_max", "sm_count", "tile", "0", "1", "128", "2.5", ".5", "1e3", "mode_fast"});
    }
    std::string any(std::initializer_list<const char*> texts) {
        return *(texts.begin() + pick(static_cast<int>(texts.size())));
    }
    int pick(int count) { return static_cast<int>(random_() % static_cast<std::uint32_t>(count)); }
    bool chance(int one_in) { return pick(one_in) == 0; }
    std::mt19937 random_;
};

/// What a program prints.
std::vector<double> numbers_of(const std::string& command) {
    const Ran ran = shell(command);
    EXPECT_EQ(ran.code, 0) << command << '\n' << ran.err;
    std::istringstream text(ran.out);
    std::vector<double> numbers;
    for (std::string word; text >> word;)
        numbers.push_back(std::strtod(word.c_str(), nullptr));
    return numbers;
}

class Translation : public testing::Test {
  protected:
    Translation() {
        Generator generator(20);
        for (const double batch : kValues) {
            for (const double t_max : kValues)
                drawn_.insert(drawn_.end(), {batch, t_max, kValues[(drawn_.size() / 3 + 5) % kValues.size()]});
        }
        code_.define("tile", 64.0);
        code_.define("mode_fast", 1.0);
        Scope scope{{{"tile", 64.0}, {"mode_fast", 1.0}},
                    {{"batch", &batch_}, {"t_max", &t_max_}, {"sm_count", &sm_count_}}};
        while (texts_.size() < kExpressions) {
            const bool is_plain = written_.size() < kPlain.size();
            const ExpressionText text{is_plain ? kPlain[written_.size()] : generator.expression(4), "test"};
            try {
                const Expression expression(text, scope);
                texts_.push_back(code_.translate(text));
                written_.push_back(text.text);
                for (int draw = 0; draw < kDraws; ++draw) {
                    batch_ = drawn_[static_cast<std::size_t>(3 * draw)];
                    t_max_ = drawn_[static_cast<std::size_t>(3 * draw + 1)];
                    sm_count_ = drawn_[static_cast<std::size_t>(3 * draw + 2)];
                    expected_.push_back(expression.value());
                }
            } catch (const InputError& error) {
                // Deep random nesting may pass the language's bounds.
                EXPECT_THAT(error.what(), testing::HasSubstr("more than"));
            }
        }
    }

    void expect_same(const std::vector<double>& found) const {
        ASSERT_EQ(found.size(), expected_.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
            const std::string what = fmt::format("`{}`, as {}", written_[i / kDraws], texts_[i / kDraws]);
            if (std::isnan(expected_[i]) || std::isinf(expected_[i])) {
                EXPECT_TRUE(std::isnan(expected_[i]) ? std::isnan(found[i]) : found[i] == expected_[i]) << what;
            } else {
                EXPECT_NEAR(found[i], expected_[i], 1e-9 * std::max(1.0, std::fabs(expected_[i]))) << what;
            }
        }
    }

    [[nodiscard]] std::string value_of(int draw, int which) const {
        return fmt::format("{:#.17g}", drawn_[static_cast<std::size_t>(3 * draw + which)]);
    }

    double batch_ = 1, t_max_ = 1, sm_count_ = 1;
    std::vector<double> drawn_;
    ExpressionCode code_{call_names()};
    std::vector<std::string> texts_, written_;
    std::vector<double> expected_;
    TempFolder folder_;
};

TEST_F(Translation, PythonComputesWhatMuParserComputes) {
    folder_.write("manifest.json", "{}");
    std::string program = read_file(ATTUNE_SOURCE_DIR "/driver/export/package/common.py");
    program += "\nclass C: pass\nf = [\n";
    for (const std::string& text : texts_)
        program += "    lambda c: " + text + ",\n";
    program += "]\ndraws = [";
    for (int draw = 0; draw < kDraws; ++draw)
        program += fmt::format("({}, {}, {}), ", value_of(draw, 0), value_of(draw, 1), value_of(draw, 2));
    program +=
        "]\nfor function in f:\n    for draw in draws:\n        c = C()\n"
        "        c.batch, c.t_max, c.sm_count = map(float, draw)\n        print(repr(float(function(c))))\n";
    const auto script = folder_.write("program.py", program);
    expect_same(numbers_of(fmt::format("{} {}", ATTUNE_TEST_PYTHON, script.string())));
}

TEST_F(Translation, CppComputesWhatMuParserComputes) {
    std::string program =
        "#include <cmath>\n#include <cstdint>\n#include <cstdio>\n#include <limits>\n#include <stdexcept>\n#include "
        "<string>\n"
        "#include <vector>\n#include \"attune/attn_args.h\"\n#include \"export/package/common.h\"\nusing namespace "
        "detail;\n"
        "Code f[] = {\n";
    for (const std::string& text : texts_)
        program += "    [](const Call& c) { static_cast<void>(c); return " + text + "; },\n";
    program +=
        "};\nconst std::vector<Variant>& detail::variants() { static std::vector<Variant> none; return none; }\n"
        "double draws[][3] = {";
    for (int draw = 0; draw < kDraws; ++draw)
        program += fmt::format("{{{}, {}, {}}}, ", value_of(draw, 0), value_of(draw, 1), value_of(draw, 2));
    program +=
        "};\nint main() {\n    for (Code function : f) for (auto& draw : draws) {\n        Call c(Shape{}, "
        "DeviceFacts{});\n"
        "        c.batch = draw[0]; c.t_max = draw[1]; c.sm_count = draw[2];\n        std::printf(\"%.17g\\n\", "
        "function(c));\n"
        "    }\n}\n";
    const auto source = folder_.write("program.cpp", program);
    expect_same(numbers_of(
        fmt::format("c++ -std=c++17 -O0 -I{0}/driver -I{0}/kernel_templates/include {1} -o {2}/program && {2}/program",
                    ATTUNE_SOURCE_DIR, source.string(), folder_.path().string())));
}

TEST(ExpressionCode, FoldsWhatNoCallDecides) {
    ExpressionCode code(call_names());
    code.define("grid", 0);
    code.define("grid_persistent", 1);
    code.define("tile_m", 128);
    EXPECT_EQ(code.translate({"grid == grid_persistent ? sm_count : t_max / tile_m", "test"}),
              "divide(c.t_max, 128.0)");
    EXPECT_EQ(code.translate({"2 ^ 3 + min(tile_m, 4)", "test"}), "12.0");
    EXPECT_EQ(code.constant({"-2 ^ 2", "test"}), -4.0);
}

TEST(ExpressionCode, RefusesWhatItCannotSay) {
    ExpressionCode code(call_names());
    EXPECT_THROW(static_cast<void>(code.translate({"nobody + 1", "test"})), InputError);
    EXPECT_THROW(static_cast<void>(code.translate({"batch +", "test"})), InputError);
    EXPECT_THROW(static_cast<void>(code.translate({"sin(batch)", "test"})), InputError);
    EXPECT_THROW(static_cast<void>(code.constant({"batch * 2", "test"})), InputError);
}

}  // namespace
}  // namespace attune
