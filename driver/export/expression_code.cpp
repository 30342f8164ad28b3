#include "export/expression_code.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

#include "core/error.h"

namespace attune {
namespace {

/// A translated part: its value when no call decides it, else its code.
struct Term {
    std::optional<double> value;
    std::string code;
};

double flag(bool holds) {
    return holds ? 1.0 : 0.0;
}

struct Function {
    std::string_view written;  ///< in template.json: operator or name
    std::string_view code;     ///< in a package's runtime
    double (*fold)(double, double);
};

// In a level, longer spellings first. All levels group from the left, as in muParser, where comparisons are one level.
constexpr std::array kEither{Function{"||", "either", +[](double a, double b) { return flag(a != 0 || b != 0); }}};
constexpr std::array kBoth{Function{"&&", "both", +[](double a, double b) { return flag(a != 0 && b != 0); }}};
constexpr std::array kComparisons{Function{"<=", "at_most", +[](double a, double b) { return flag(a <= b); }},
                                  Function{">=", "at_least", +[](double a, double b) { return flag(a >= b); }},
                                  Function{"==", "equal", +[](double a, double b) { return flag(a == b); }},
                                  Function{"!=", "differ", +[](double a, double b) { return flag(a != b); }},
                                  Function{"<", "less", +[](double a, double b) { return flag(a < b); }},
                                  Function{">", "more", +[](double a, double b) { return flag(a > b); }}};
constexpr std::array kSums{Function{"+", "add", +[](double a, double b) { return a + b; }},
                           Function{"-", "subtract", +[](double a, double b) { return a - b; }}};
constexpr std::array kProducts{Function{"*", "multiply", +[](double a, double b) { return a * b; }},
                               Function{"/", "divide", +[](double a, double b) { return a / b; }},
                               Function{"%", "modulo", +[](double a, double b) { return std::fmod(a, b); }}};
constexpr std::array kCalls2{Function{"min", "minimum", +[](double a, double b) { return std::min(a, b); }},
                             Function{"max", "maximum", +[](double a, double b) { return std::max(a, b); }},
                             Function{"ceil_div", "ceil_div", +[](double a, double b) { return std::ceil(a / b); }}};
constexpr std::array kCalls1{Function{"floor", "floor_of", +[](double a, double) { return std::floor(a); }},
                             Function{"ceil", "ceil_of", +[](double a, double) { return std::ceil(a); }},
                             Function{"abs", "absolute", +[](double a, double) { return std::abs(a); }}};

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// A number both languages read as the same double.
std::string number(double value) {
    if (!std::isfinite(value))
        return std::isnan(value) ? "not_a_number()" : value > 0 ? "infinity()" : "negative(infinity())";
    if (value < 0 || std::signbit(value)) return fmt::format("negative({})", number(-value));
    std::string text = fmt::format("{}", value);
    if (text.find_first_of(".e") == std::string::npos) text += ".0";
    return text;
}

Term literal(double value) {
    return {value, number(value)};
}

/// Recursive descent over the grammar of docs/templates.md with muParser's precedences: a sign binds weaker than ^, so
/// -2^2 is -4, and ^ groups from the right. Bounds on length and nesting are those of Expression, which read it first.
class Translator {
  public:
    Translator(const ExpressionText& source, const std::map<std::string, double, std::less<>>& constants,
               const std::vector<std::string>& call_names)
        : source_(source), rest_(source.text), constants_(constants), call_names_(call_names) {}

    Term whole() {
        Term term = choice();
        skip_spaces();
        if (!rest_.empty()) fail("an end, an operator or a closing parenthesis");
        return term;
    }

  private:
    Term choice() {
        Term condition = either();
        if (!take("?")) return condition;
        Term yes = choice();
        if (!take(":")) fail("`:`");
        Term no = choice();
        if (condition.value) return *condition.value != 0 ? yes : no;
        return {std::nullopt, fmt::format("choose({}, {}, {})", condition.code, yes.code, no.code)};
    }
    Term either() { return level(kEither, &Translator::both); }
    Term both() { return level(kBoth, &Translator::comparison); }
    Term comparison() { return level(kComparisons, &Translator::sum); }
    Term sum() { return level(kSums, &Translator::product); }
    Term product() { return level(kProducts, &Translator::sign); }

    Term sign() {
        if (take("+")) return sign();
        if (!take("-")) return power();
        const Term operand = sign();
        if (operand.value) return literal(-*operand.value);
        return {std::nullopt, fmt::format("negative({})", operand.code)};
    }

    Term power() {
        Term base = primary();
        if (!take("^")) return base;
        constexpr Function kPower{"^", "power", +[](double a, double b) { return std::pow(a, b); }};
        return combine(kPower, base, sign());
    }

    Term primary() {
        if (take("(")) {
            Term inner = choice();
            if (!take(")")) fail("`)`");
            return inner;
        }
        skip_spaces();
        if (rest_.empty()) fail("a value");
        if (is_digit(rest_.front()) || rest_.front() == '.') return literal(read_number());
        const std::string name = read_name();
        if (name.empty()) fail("a value");
        if (take("(")) return call(name);
        if (const auto constant = constants_.find(name); constant != constants_.end()) return literal(constant->second);
        if (std::find(call_names_.begin(), call_names_.end(), name) == call_names_.end()) {
            fail(fmt::format("a known name instead of '{}'", name));
        }
        return {std::nullopt, "c." + name};
    }

    Term call(const std::string& name) {
        const Term first = choice();
        for (const Function& function : kCalls1) {
            if (function.written != name) continue;
            if (!take(")")) fail("`)`");
            if (first.value) return literal(function.fold(*first.value, 0.0));
            return {std::nullopt, fmt::format("{}({})", function.code, first.code)};
        }
        for (const Function& function : kCalls2) {
            if (function.written != name) continue;
            if (!take(",")) fail("`,`");
            const Term second = choice();
            if (!take(")")) fail("`)`");
            return combine(function, first, second);
        }
        fail(fmt::format("a function instead of '{}'", name));
    }

    template <std::size_t Count>
    Term level(const std::array<Function, Count>& functions, Term (Translator::*next)()) {
        Term left = (this->*next)();
        while (true) {
            const auto found = std::find_if(functions.begin(), functions.end(),
                                            [&](const Function& function) { return take(function.written); });
            if (found == functions.end()) return left;
            left = combine(*found, left, (this->*next)());
        }
    }

    static Term combine(const Function& function, const Term& left, const Term& right) {
        if (left.value && right.value) return literal(function.fold(*left.value, *right.value));
        return {std::nullopt, fmt::format("{}({}, {})", function.code, left.code, right.code)};
    }

    void skip_spaces() {
        while (!rest_.empty() && rest_.front() == ' ')
            rest_.remove_prefix(1);
    }
    bool take(std::string_view token) {
        skip_spaces();
        if (!rest_.starts_with(token)) return false;
        rest_.remove_prefix(token.size());
        return true;
    }
    double read_number() {
        double value = 0.0;
        const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
        if (error != std::errc{}) fail("a number");
        rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
        return value;
    }
    std::string read_name() {
        std::size_t length = 0;
        while (length < rest_.size() && (is_letter(rest_[length]) || (length > 0 && is_digit(rest_[length]))))
            ++length;
        std::string name(rest_.substr(0, length));
        rest_.remove_prefix(length);
        return name;
    }
    [[noreturn]] void fail(const std::string& wanted) const {
        throw InputError(fmt::format("{}: {} belongs at position {} of `{}`", source_.where, wanted,
                                     source_.text.size() - rest_.size() + 1, source_.text));
    }

    const ExpressionText& source_;
    std::string_view rest_;
    const std::map<std::string, double, std::less<>>& constants_;
    const std::vector<std::string>& call_names_;
};

}  // namespace

std::string ExpressionCode::translate(const ExpressionText& source) const {
    return Translator(source, constants_, call_names_).whole().code;
}

double ExpressionCode::constant(const ExpressionText& source) const {
    const Term term = Translator(source, constants_, call_names_).whole();
    if (term.value) return *term.value;
    throw InputError(fmt::format("{}: `{}` depends on the call; it must not", source.where, source.text));
}

}  // namespace attune
