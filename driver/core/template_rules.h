// The expressions of a template, compiled together: what a candidate derives, whether it is legal, how it is launched.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/expression.h"
#include "core/launch_plan.h"
#include "core/space.h"
#include "core/target.h"
#include "core/template_spec.h"

namespace attune {

/// Its answers depend on their arguments alone, but evaluating uses scratch memory inside: one thread at a time.
class TemplateRules {
  public:
    /// Compiles every expression of `spec`, whose parameters hold every value and word. Candidates index the values of
    /// `parameters`, some of those. InputError names file, key and what to write instead.
    TemplateRules(const TemplateSpec& spec, std::vector<Parameter> parameters);
    // The byte code of the expressions holds addresses of the members below.
    TemplateRules(const TemplateRules&) = delete;
    TemplateRules& operator=(const TemplateRules&) = delete;

    [[nodiscard]] const std::vector<Parameter>& parameters() const { return parameters_; }
    /// Why a candidate is not legal on `target`, and nullptr when it is. Belongs to the rules.
    [[nodiscard]] const std::string* first_violation(const Candidate& candidate, const TargetFacts& target);
    /// Derived values of a candidate, in the template's order. InputError when one is no integer.
    [[nodiscard]] std::vector<std::int64_t> derived(const Candidate& candidate);
    /// Launches of a candidate on a shape. InputError when an expression's value is not what its place needs.
    [[nodiscard]] LaunchPlan plan(const Candidate& candidate, const CallShape& shape, const TargetFacts& target);

  private:
    /// Values that expressions read besides parameters and derived values.
    struct Surroundings {
        double shared_limit = 0, shared_per_sm = 0, registers_per_sm = 0, arch = 0, sm_count = 0;
        double batch = 0, heads = 0, t_max = 0, q_blocks = 0, max_nnz = 0;

        void set(const TargetFacts& target);
        void set(const CallShape& shape);
        void name_target(Scope& scope);
        void name_call(Scope& scope);
    };
    class Names;
    struct Rule {
        Expression expression;
        std::string because;
    };
    struct KernelRules {
        std::string entry;
        std::vector<Expression> grid;
        Expression block, shared_bytes, cluster, when;
        std::string too_many_threads, too_much_shared;
    };
    struct TensorMapRules {
        TensorMapPlan::Tensor tensor;
        bool fp16;
        Expression rows, cols, swizzle, offset;
    };

    void compile_kernels(const TemplateSpec& spec, const Scope& own, const Scope& call);
    void compile_tensor_maps(const TemplateSpec& spec, const Scope& own, const Scope& call);
    void set(const Candidate& candidate);
    [[nodiscard]] const std::string* kernel_violation() const;

    std::vector<Parameter> parameters_;
    bool on_gpu_;
    std::vector<double> parameter_values_;
    std::vector<double> derived_values_;
    Surroundings surroundings_;
    std::vector<Rule> derived_;
    std::vector<Rule> constraints_;
    std::vector<KernelRules> kernels_;
    std::vector<TensorMapRules> tensor_maps_;
    std::optional<Expression> workspace_bytes_, workspace_clear_bytes_;
};

}  // namespace attune
