#include "core/template_rules.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>

#include "core/error.h"

namespace attune {
namespace {

constexpr int kMaxInt = std::numeric_limits<int>::max();
constexpr int kMaxThreads = 1024;
constexpr std::int64_t kMaxGridYz = 65535;
constexpr int kMaxCluster = 16;
constexpr int kMaxBox = 256;
constexpr std::int64_t kMaxBytes = std::int64_t{1} << 40;  // no device has more

bool is_integer(double value) {
    return value == std::floor(value) && std::abs(value) <= static_cast<double>(kMaxInt);
}

}  // namespace

void TemplateRules::Surroundings::set(const TargetFacts& target) {
    shared_limit = static_cast<double>(target.shared_limit_bytes);
    shared_per_sm = static_cast<double>(target.shared_per_sm_bytes);
    registers_per_sm = target.registers_per_sm;
    arch = target.arch;
    sm_count = target.sm_count;
}

void TemplateRules::Surroundings::set(const CallShape& shape) {
    batch = shape.batch;
    heads = shape.heads;
    t_max = shape.t_max;
    q_blocks = shape.t_max / 128;
    max_nnz = shape.max_nnz;
}

void TemplateRules::Surroundings::name_target(Scope& scope) {
    scope.variables.insert({{"shared_limit", &shared_limit},
                            {"shared_per_sm", &shared_per_sm},
                            {"registers_per_sm", &registers_per_sm},
                            {"arch", &arch}});
}

void TemplateRules::Surroundings::name_call(Scope& scope) {
    scope.variables.insert({{"batch", &batch},
                            {"heads", &heads},
                            {"t_max", &t_max},
                            {"q_blocks", &q_blocks},
                            {"max_nnz", &max_nnz},
                            {"sm_count", &sm_count}});
}

/// The names of a template, each given once: they share one scope in expressions and in `struct Tune`.
class TemplateRules::Names {
  public:
    Names(Surroundings& surroundings, const std::string& where) : where_(where) {
        Scope reserved;
        surroundings.name_target(reserved);
        surroundings.name_call(reserved);
        for (const auto& [name, address] : reserved.variables)
            taken_.insert(name);
    }
    void claim(const std::string& name) {
        if (!is_usable_name(name)) {
            throw InputError(
                fmt::format("{}: '{}' cannot be a name: write up to 64 letters, digits and _, not a digit "
                            "first, and no function's name",
                            where_, name));
        }
        if (!taken_.insert(name).second) {
            throw InputError(fmt::format("{}: the name '{}' is taken twice; rename one of the two", where_, name));
        }
    }

  private:
    const std::string& where_;
    std::set<std::string> taken_;
};

TemplateRules::TemplateRules(const TemplateSpec& spec, std::vector<Parameter> parameters)
    : parameters_(std::move(parameters)),
      on_gpu_(spec.device == DeviceKind::cuda),
      parameter_values_(spec.parameters.size(), 0.0),
      derived_values_(spec.derived.size(), 0.0) {
    Names names(surroundings_, spec.where);
    Scope own;
    for (std::size_t i = 0; i < spec.parameters.size(); ++i) {
        const Parameter& parameter = spec.parameters[i];
        names.claim(parameter.name);
        own.variables[parameter.name] = &parameter_values_[i];
        for (std::size_t word = 0; word < parameter.words.size(); ++word) {
            const std::string name = parameter.name + "_" + parameter.words[word];
            names.claim(name);
            own.constants[name] = static_cast<double>(parameter.values[word]);
        }
    }
    for (std::size_t i = 0; i < spec.derived.size(); ++i) {
        const DerivedSpec& item = spec.derived[i];
        names.claim(item.name);
        derived_.push_back(
            {Expression(item.value, own), fmt::format("derived value '{}' is not an integer of 32 bits", item.name)});
        own.variables[item.name] = &derived_values_[i];
    }
    Scope own_and_target = own;
    surroundings_.name_target(own_and_target);
    Scope call = own_and_target;
    surroundings_.name_call(call);
    for (const ConstraintSpec& item : spec.constraints)
        constraints_.push_back({Expression(item.require, own_and_target), item.because});
    compile_kernels(spec, own, call);
    compile_tensor_maps(spec, own, call);
    workspace_bytes_.emplace(spec.workspace_bytes, call);
    workspace_clear_bytes_.emplace(spec.workspace_clear_bytes, call);
}

void TemplateRules::compile_kernels(const TemplateSpec& spec, const Scope& own, const Scope& call) {
    for (const KernelSpec& item : spec.kernels) {
        std::vector<Expression> grid;
        for (const ExpressionText& extent : item.grid)
            grid.emplace_back(extent, call);
        kernels_.push_back(
            {item.entry, std::move(grid), Expression(item.block, own), Expression(item.shared_bytes, own),
             Expression(item.cluster, own), Expression(item.when, own),
             fmt::format("{} would have a block of 0 or of more than {} threads", item.entry, kMaxThreads),
             fmt::format("{} would need more shared memory than a block may use", item.entry)});
    }
}

void TemplateRules::compile_tensor_maps(const TemplateSpec& spec, const Scope& own, const Scope& call) {
    for (const TensorMapSpec& item : spec.tensor_maps) {
        tensor_maps_.push_back({item.tensor, item.fp16, Expression(item.rows, own), Expression(item.cols, own),
                                Expression(item.swizzle, own), Expression(item.offset, call)});
    }
}

void TemplateRules::set(const Candidate& candidate) {
    if (candidate.choice.size() != parameters_.size()) throw std::logic_error("a candidate of another space");
    for (std::size_t i = 0; i < parameters_.size(); ++i)
        parameter_values_[i] = static_cast<double>(parameters_[i].values[candidate.choice[i]]);
    for (std::size_t i = 0; i < derived_.size(); ++i)
        derived_values_[i] = derived_[i].expression.value();
}

const std::string* TemplateRules::first_violation(const Candidate& candidate, const TargetFacts& target) {
    surroundings_.set(target);
    set(candidate);
    for (std::size_t i = 0; i < derived_.size(); ++i) {
        if (!is_integer(derived_values_[i])) return &derived_[i].because;
    }
    for (const Rule& rule : constraints_) {
        const double value = rule.expression.value();
        if (value == 0.0 || !std::isfinite(value)) return &rule.because;
    }
    return on_gpu_ ? kernel_violation() : nullptr;
}

const std::string* TemplateRules::kernel_violation() const {
    for (const KernelRules& kernel : kernels_) {
        if (kernel.when.value() == 0.0) continue;
        const double threads = kernel.block.value();
        if (!(threads >= 1.0 && threads <= kMaxThreads)) return &kernel.too_many_threads;
        if (!(kernel.shared_bytes.value() <= surroundings_.shared_limit)) return &kernel.too_much_shared;
    }
    return nullptr;
}

std::vector<std::int64_t> TemplateRules::derived(const Candidate& candidate) {
    set(candidate);
    std::vector<std::int64_t> values;
    for (const Rule& rule : derived_)
        values.push_back(rule.expression.integer(-kMaxInt, kMaxInt));
    return values;
}

LaunchPlan TemplateRules::plan(const Candidate& candidate, const CallShape& shape, const TargetFacts& target) {
    surroundings_.set(target);
    surroundings_.set(shape);
    set(candidate);
    LaunchPlan plan;
    for (const KernelRules& rules : kernels_) {
        if (rules.when.value() == 0.0) continue;
        KernelLaunch launch;
        launch.entry = rules.entry;
        for (std::size_t axis = 0; axis < 3; ++axis)
            launch.grid[axis] = rules.grid[axis].integer(1, axis == 0 ? kMaxInt : kMaxGridYz);
        launch.threads = static_cast<int>(rules.block.integer(1, kMaxThreads));
        launch.shared_bytes = static_cast<int>(rules.shared_bytes.integer(0, kMaxInt));
        launch.cluster = static_cast<int>(rules.cluster.integer(1, kMaxCluster));
        plan.kernels.push_back(std::move(launch));
    }
    plan.workspace_bytes = workspace_bytes_->integer(0, kMaxBytes);
    plan.workspace_clear_bytes = workspace_clear_bytes_->integer(0, plan.workspace_bytes);
    for (const TensorMapRules& rules : tensor_maps_) {
        TensorMapPlan map{rules.tensor,
                          rules.fp16,
                          static_cast<int>(rules.rows.integer(1, kMaxBox)),
                          static_cast<int>(rules.cols.integer(1, kMaxBox)),
                          static_cast<int>(rules.swizzle.integer(0, 128)),
                          rules.offset.integer(0, plan.workspace_bytes)};
        if (map.swizzle_bytes != 0 && map.swizzle_bytes != 32 && map.swizzle_bytes != 64 && map.swizzle_bytes != 128) {
            throw InputError(fmt::format("{}: a swizzle of {} bytes; it is 0, 32, 64 or 128",
                                         rules.swizzle.source().where, map.swizzle_bytes));
        }
        plan.tensor_maps.push_back(map);
    }
    return plan;
}

}  // namespace attune
