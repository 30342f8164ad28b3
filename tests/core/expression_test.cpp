#include "core/expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <random>

#include "core/error.h"

namespace attune {
namespace {

using testing::HasSubstr;

class ExpressionTest : public testing::Test {
  protected:
    double x = 6.0;
    double y = 4.0;
    Scope scope{{{"mode_fast", 1.0}}, {{"x", &x}, {"y", &y}}};

    [[nodiscard]] double value(const std::string& text) const { return Expression({text, "here"}, scope).value(); }
    [[nodiscard]] std::string error(const std::string& text) const {
        try {
            static_cast<void>(Expression({text, "file.json: key 'k'"}, scope));
        } catch (const InputError& thrown) {
            return thrown.what();
        }
        return "no error";
    }
};

TEST_F(ExpressionTest, KnowsEveryOperatorOfTheDocumentation) {
    EXPECT_EQ(value("1 + 2 * 3 - 4 / 8"), 6.5);
    EXPECT_EQ(value("2 ^ 10"), 1024);
    EXPECT_EQ(value("2 ^ 3 ^ 2"), 512);
    EXPECT_EQ(value("x % y"), 2);
    EXPECT_EQ(value("1 + x % y * 3"), 7);
    EXPECT_EQ(value("-x + +y"), -2);
    EXPECT_EQ(value("-2 ^ 2"), -4);
    EXPECT_EQ(value("x == 6 && y != 6"), 1);
    EXPECT_EQ(value("x < y || x <= y"), 0);
    EXPECT_EQ(value("x > y && x >= 6"), 1);
    EXPECT_EQ(value("0 || 1 && 0"), 0);
    EXPECT_EQ(value("x > y ? x : y"), 6);
    EXPECT_EQ(value("0 ? 1 : 0 ? 2 : 3"), 3);
    EXPECT_EQ(value("min(x, y) + max(x, y) * 10"), 64);
    EXPECT_EQ(value("floor(3.7) + ceil(3.2) + abs(-2)"), 9);
    EXPECT_EQ(value("ceil_div(x, y)"), 2);
    EXPECT_EQ(value("mode_fast + 1.5e3"), 1501);
}

TEST_F(ExpressionTest, FollowsItsVariables) {
    const Expression expression({"x * y", "here"}, scope);
    EXPECT_EQ(expression.value(), 24);
    x = 7;
    EXPECT_EQ(expression.value(), 28);
    EXPECT_THAT(expression.uses(), testing::ElementsAre("x", "y"));
}

TEST_F(ExpressionTest, SaysWhatIsWrongAndWhere) {
    EXPECT_EQ(error("x + tile"), "file.json: key 'k': unknown name 'tile' in `x + tile`");
    EXPECT_THAT(error("maxx(x, y)"), HasSubstr("did you mean 'max'?"));
    EXPECT_THAT(error("x +"), HasSubstr("`x +`"));
    EXPECT_THAT(error("(x"), HasSubstr("in `(x`"));
    EXPECT_THAT(error("x = 3"), HasSubstr("assignment; compare with `==`"));
    EXPECT_THAT(error("x, y"), HasSubstr("in `x, y`"));
    EXPECT_THAT(error("\"text\""), HasSubstr("character that expressions do not know at position 1"));
    EXPECT_THAT(error(""), HasSubstr("file.json: key 'k'"));
    EXPECT_THAT(error("min(x)"), HasSubstr("in `min(x)`"));
    for (const char* text :
         {"sin(x)", "rnd()",  "_pi",   "x;y",   "x & y",           "!x", "2 x", "x y",   "1..2", "inf", "nan", "0x10",
          "x += 1", "x := 1", "1 ? 2", "min()", "ceil_div(1,2,3)", ")",  "?",   "a?b:c", "1e999"}) {
        EXPECT_NE(error(text), "no error") << text;
        EXPECT_EQ(error(text).find('\n'), std::string::npos) << text;
    }
}

TEST_F(ExpressionTest, BoundsLengthAndNesting) {
    EXPECT_EQ(error(std::string(32, '(') + "x" + std::string(32, ')')), "no error");
    EXPECT_THAT(error(std::string(33, '(') + "x" + std::string(33, ')')), HasSubstr("deeper than 32"));
    EXPECT_THAT(error(std::string(100000, '(')), HasSubstr("more than 1000 characters"));
    EXPECT_EQ(error("x" + std::string(499, '+') + "x").find('\n'), std::string::npos);
    std::string chain = "1";
    while (chain.size() < 990)
        chain += "?1:1";
    EXPECT_EQ(error(chain), "no error");
}

TEST_F(ExpressionTest, IntegersAreExactAndInRange) {
    const auto integer = [&](const std::string& text) {
        try {
            return std::to_string(Expression({text, "f"}, scope).integer(0, 100));
        } catch (const InputError& thrown) {
            return std::string(thrown.what());
        }
    };
    EXPECT_EQ(integer("x * y"), "24");
    EXPECT_THAT(integer("x / y"), HasSubstr("the value 1.5 where an integer belongs"));
    EXPECT_THAT(integer("x / 0"), HasSubstr("where an integer belongs"));
    EXPECT_THAT(integer("0 / 0"), HasSubstr("where an integer belongs"));
    EXPECT_THAT(integer("0 - 1"), HasSubstr("not in 0..100"));
    EXPECT_THAT(integer("101"), HasSubstr("not in 0..100"));
}

TEST_F(ExpressionTest, UsableNames) {
    EXPECT_TRUE(is_usable_name("tile_m"));
    EXPECT_TRUE(is_usable_name("_x9"));
    for (const char* name : {"", "9x", "tile-m", "min", "ceil_div", "é"})
        EXPECT_FALSE(is_usable_name(name)) << name;
    EXPECT_FALSE(is_usable_name(std::string(65, 'a')));
}

/// A random expression beside its value computed here, so that neither muParser's optimiser nor its precedence is taken
/// on trust.
struct Sample {
    std::string text;
    double value = 0.0;
};

class Generator {
  public:
    Generator(std::uint64_t seed, double x, double y) : random_(seed), x_(x), y_(y) {}

    Sample make(int depth) {
        if (depth == 0) return leaf();
        const Sample a = make(depth - 1);
        const Sample b = make(depth - 1);
        switch (pick(13)) {
            case 0:
                return {"(" + a.text + "+" + b.text + ")", a.value + b.value};
            case 1:
                return {"(" + a.text + "-" + b.text + ")", a.value - b.value};
            case 2:
                return {"(" + a.text + "*" + b.text + ")", a.value * b.value};
            case 3:
                return {"(" + a.text + "/" + b.text + ")", a.value / b.value};
            case 4:
                return {"min(" + a.text + "," + b.text + ")", b.value < a.value ? b.value : a.value};
            case 5:
                return {"max(" + a.text + "," + b.text + ")", a.value < b.value ? b.value : a.value};
            case 6:
                return {"(" + a.text + "<" + b.text + ")", a.value < b.value ? 1.0 : 0.0};
            case 7:
                return {"(" + a.text + "==" + b.text + ")", a.value == b.value ? 1.0 : 0.0};
            case 8:
                return {"(" + a.text + ">=1&&" + b.text + ">=2)", a.value >= 1 && b.value >= 2 ? 1.0 : 0.0};
            case 9:
                return {"(" + a.text + ">3||" + b.text + "!=0)", a.value > 3 || b.value != 0 ? 1.0 : 0.0};
            case 10:
                return {"(" + a.text + ">0?" + a.text + ":" + b.text + ")", a.value > 0 ? a.value : b.value};
            case 11:
                return {"floor(" + a.text + ")", std::floor(a.value)};
            default:
                return {"abs(" + a.text + ")", std::abs(a.value)};
        }
    }

  private:
    std::uint64_t pick(std::uint64_t count) { return random_() % count; }
    Sample leaf() {
        switch (pick(3)) {
            case 0:
                return {"x", x_};
            case 1:
                return {"y", y_};
            default: {
                const auto number = pick(9);
                return {std::to_string(number), static_cast<double>(number)};
            }
        }
    }

    std::mt19937_64 random_;
    double x_;
    double y_;
};

TEST_F(ExpressionTest, AgreesWithArithmeticOnRandomExpressions) {
    Generator generator(7, x, y);
    int compared = 0;
    for (int i = 0; i < 3000; ++i) {
        const Sample sample = generator.make(1 + i % 3);
        if (sample.text.size() > kMaxExpressionLength || std::isnan(sample.value)) continue;
        const double got = value(sample.text);
        if (std::isnan(got)) continue;
        ++compared;
        EXPECT_TRUE(got == sample.value || std::abs(got - sample.value) <= 1e-9 * std::abs(sample.value))
            << sample.text << " = " << got << ", not " << sample.value;
    }
    EXPECT_GT(compared, 1500);
}

}  // namespace
}  // namespace attune
