// Geometry expressions as code: one text that is valid C++ and valid Python, for packages that launch without muParser.
#pragma once

#include <string>
#include <vector>

#include "core/expression.h"

namespace attune {

/// Expressions over `constants` (known numbers, folded) and `call_names` (known at each call), as calls of functions
/// that both languages' package runtimes define: `choose(less(c.t_max, 4096.0), 1.0, divide(c.t_max, 128.0))`. A name
/// of `call_names` becomes a member of `c`.
class ExpressionCode {
  public:
    explicit ExpressionCode(std::vector<std::string> call_names) : call_names_(std::move(call_names)) {}

    /// Adds a name whose value every later translation may use.
    void define(const std::string& name, double value) { constants_[name] = value; }

    /// The code of `source`. InputError when it is not an expression of docs/templates.md.
    [[nodiscard]] std::string translate(const ExpressionText& source) const;
    /// The value of an expression that no call decides. InputError when one does.
    [[nodiscard]] double constant(const ExpressionText& source) const;

  private:
    std::map<std::string, double, std::less<>> constants_;
    std::vector<std::string> call_names_;
};

}  // namespace attune
