// Arithmetic in template.json and study files: one expression, compiled once, evaluated millions of times (muParser).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace attune {

/// An expression as written, and the words that say where (file and key) for error messages.
struct ExpressionText {
    std::string text;
    std::string where;
};

/// Names an expression may use. A variable is read through its address at every evaluation, so the owner of the value
/// changes it in place; the address must outlive the expressions.
struct Scope {
    std::map<std::string, double, std::less<>> constants;
    std::map<std::string, double*, std::less<>> variables;
};

/// Bounds on one expression, so that a hostile file costs nothing.
inline constexpr std::size_t kMaxExpressionLength = 1000;
inline constexpr int kMaxExpressionNesting = 32;

/// One expression over a scope: numbers, names, + - * / % ^, comparisons, && ||, c ? a : b, and
/// min max floor ceil abs ceil_div. Division is that of real numbers. Evaluating is not thread-safe.
class Expression {
  public:
    /// Throws InputError "where: … in `text`" when it does not parse, uses an unknown name or exceeds the bounds.
    Expression(ExpressionText source, const Scope& scope);
    ~Expression();
    Expression(Expression&&) noexcept;
    Expression& operator=(Expression&&) noexcept;

    /// The value with the variables as they are now; may be infinite or not a number.
    [[nodiscard]] double value() const;
    /// The value as an integer in [low, high]; throws InputError when it is not one.
    [[nodiscard]] std::int64_t integer(std::int64_t low, std::int64_t high) const;

    [[nodiscard]] const ExpressionText& source() const;
    /// Variables it reads, sorted.
    [[nodiscard]] const std::vector<std::string>& uses() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Whether `name` can be a parameter or a derived value: an identifier that is no function of the expression language
/// and at most 64 characters.
[[nodiscard]] bool is_usable_name(std::string_view name);

}  // namespace attune
