#include "core/expression.h"

#include <fmt/format.h>
#include <muParser.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "core/error.h"
#include "core/suggest.h"

namespace attune {
namespace {

constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kSymbols = " .+-*/%^<>=!&|?:(),";
constexpr std::array<std::string_view, 6> kFunctions{"abs", "ceil", "ceil_div", "floor", "max", "min"};

/// muParser without what it brings along (trigonometry, random numbers, strings, assignment): only our language.
class Parser final : public mu::ParserBase {
  public:
    Parser() {
        InitCharSets();
        InitFun();
        InitConst();
        InitOprt();
        AddValIdent(read_number);
    }

  private:
    void InitCharSets() override {
        DefineNameChars("0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
        DefineOprtChars("+-*/%^<>=!&|?:");
        DefineInfixOprtChars("+-");
    }
    void InitFun() override {
        DefineFun(
            "abs", +[](double x) { return std::abs(x); });
        DefineFun(
            "floor", +[](double x) { return std::floor(x); });
        DefineFun(
            "ceil", +[](double x) { return std::ceil(x); });
        DefineFun(
            "ceil_div", +[](double a, double b) { return std::ceil(a / b); });
        DefineFun(
            "min", +[](double a, double b) { return std::min(a, b); });
        DefineFun(
            "max", +[](double a, double b) { return std::max(a, b); });
    }
    void InitConst() override {}
    void InitOprt() override {
        DefineOprt(
            "%", +[](double a, double b) { return std::fmod(a, b); }, mu::prMUL_DIV, mu::oaLEFT, true);
        DefineInfixOprt(
            "-", +[](double x) { return -x; });
        DefineInfixOprt(
            "+", +[](double x) { return x; });
    }

    // Not muParser's own reader, which goes through a stream and a locale.
    static int read_number(const char* text, int* position, double* value) {
        const std::string_view rest(text);
        if (rest.empty() || (kDigits.find(rest.front()) == std::string_view::npos && rest.front() != '.')) return 0;
        const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), *value);
        if (error != std::errc{}) return 0;
        *position += static_cast<int>(end - rest.data());
        return 1;
    }
};

[[noreturn]] void fail(const ExpressionText& source, const std::string& what) {
    const std::string& text = source.text;
    constexpr std::size_t kShown = 120;
    const std::string shown = text.size() <= kShown ? text : text.substr(0, kShown) + "…";
    throw InputError(fmt::format("{}: {} in `{}`", source.where, what, shown));
}

/// Refuses what muParser would accept or could choke on before it sees the text.
void check_text(const ExpressionText& source) {
    const std::string& text = source.text;
    if (text.size() > kMaxExpressionLength) {
        fail(source, fmt::format("more than {} characters", kMaxExpressionLength));
    }
    int depth = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const bool known = kLetters.find(c) != std::string_view::npos || kDigits.find(c) != std::string_view::npos ||
                           kSymbols.find(c) != std::string_view::npos;
        if (!known) fail(source, fmt::format("a character that expressions do not know at position {}", i + 1));
        if (c == '(' && ++depth > kMaxExpressionNesting) {
            fail(source, fmt::format("parentheses nested deeper than {}", kMaxExpressionNesting));
        }
        if (c == ')') --depth;
        if (c != '=') continue;
        const bool second = i > 0 && std::string_view("=<>!").find(text[i - 1]) != std::string_view::npos;
        const bool first = i + 1 < text.size() && text[i + 1] == '=';
        if (!second && !first) fail(source, "an assignment; compare with `==`");
    }
}

std::vector<std::string_view> names_of(const Scope& scope) {
    std::vector<std::string_view> names(kFunctions.begin(), kFunctions.end());
    for (const auto& [name, value] : scope.constants)
        names.push_back(name);
    for (const auto& [name, value] : scope.variables)
        names.push_back(name);
    return names;
}

std::string explain(const mu::ParserError& error, const std::string& text, const Scope& scope) {
    const int position = error.GetPos() + 1;
    if (error.GetCode() == mu::ecUNASSIGNABLE_TOKEN) {
        const auto start = static_cast<std::size_t>(std::max(0, error.GetPos()));
        const auto end = text.find_first_not_of(std::string(kLetters) + std::string(kDigits), start);
        const std::string name = start < text.size() ? text.substr(start, end - start) : std::string();
        if (!name.empty() && kLetters.find(name.front()) != std::string_view::npos) {
            const std::string_view near = nearest_name(name, names_of(scope));
            const std::string hint = near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near);
            return fmt::format("unknown name '{}'{}", name, hint);
        }
    }
    return fmt::format("{} (position {})", error.GetMsg(), position);
}

}  // namespace

struct Expression::Impl {
    ExpressionText source;
    Parser parser;
    std::vector<std::string> uses;
};

Expression::Expression(ExpressionText source, const Scope& scope) : impl_(std::make_unique<Impl>()) {
    impl_->source = std::move(source);
    check_text(impl_->source);
    try {
        for (const auto& [name, value] : scope.constants)
            impl_->parser.DefineConst(name, value);
        for (const auto& [name, address] : scope.variables)
            impl_->parser.DefineVar(name, address);
        impl_->parser.SetExpr(impl_->source.text);
        int results = 0;
        static_cast<void>(impl_->parser.Eval(results));  // parses; GetUsedVar alone would let unknown names pass
        for (const auto& [name, address] : impl_->parser.GetUsedVar())
            impl_->uses.push_back(name);
        static_cast<void>(impl_->parser.Eval());  // compiles what GetUsedVar discarded
        if (results != 1) fail(impl_->source, "a list where one value belongs");
    } catch (const mu::ParserError& error) {
        fail(impl_->source, explain(error, impl_->source.text, scope));
    }
}

Expression::~Expression() = default;
Expression::Expression(Expression&&) noexcept = default;
Expression& Expression::operator=(Expression&&) noexcept = default;

double Expression::value() const {
    return impl_->parser.Eval();
}

std::int64_t Expression::integer(std::int64_t low, std::int64_t high) const {
    const double result = value();
    if (!std::isfinite(result) || result != std::floor(result)) {
        fail(impl_->source, fmt::format("the value {} where an integer belongs", result));
    }
    if (result < static_cast<double>(low) || result > static_cast<double>(high)) {
        fail(impl_->source, fmt::format("the value {:.0f}, which is not in {}..{},", result, low, high));
    }
    return static_cast<std::int64_t>(result);
}

const ExpressionText& Expression::source() const {
    return impl_->source;
}
const std::vector<std::string>& Expression::uses() const {
    return impl_->uses;
}

bool is_usable_name(std::string_view name) {
    constexpr std::size_t kLongest = 64;
    if (name.empty() || name.size() > kLongest || kLetters.find(name.front()) == std::string_view::npos) return false;
    if (name.find_first_not_of(std::string(kLetters) + std::string(kDigits)) != std::string_view::npos) return false;
    return std::find(kFunctions.begin(), kFunctions.end(), name) == kFunctions.end();
}

}  // namespace attune
