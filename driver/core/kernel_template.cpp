#include "core/kernel_template.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <stdexcept>

#include "core/error.h"
#include "core/expression.h"

namespace attune {
namespace embedded {
extern const std::string_view attn_args_header;
}

namespace {

constexpr int kMaxInt = std::numeric_limits<int>::max();
constexpr int kMaxThreads = 1024;

/// Values that expressions read besides parameters and derived values.
struct Surroundings {
    double shared_limit = 0, shared_per_sm = 0, registers_per_sm = 0, arch = 0, sm_count = 0;
    double batch = 0, heads = 0, t_max = 0, q_blocks = 0, max_nnz = 0;

    void set(const TargetFacts& target) {
        shared_limit = static_cast<double>(target.shared_limit_bytes);
        shared_per_sm = static_cast<double>(target.shared_per_sm_bytes);
        registers_per_sm = target.registers_per_sm;
        arch = target.arch;
        sm_count = target.sm_count;
    }
    void set(const CallShape& shape) {
        batch = shape.batch;
        heads = shape.heads;
        t_max = shape.t_max;
        q_blocks = shape.t_max / 128;
        max_nnz = shape.max_nnz;
    }
    void name_target(Scope& scope) {
        scope.variables.insert({{"shared_limit", &shared_limit},
                                {"shared_per_sm", &shared_per_sm},
                                {"registers_per_sm", &registers_per_sm},
                                {"arch", &arch}});
    }
    void name_call(Scope& scope) {
        scope.variables.insert({{"batch", &batch},
                                {"heads", &heads},
                                {"t_max", &t_max},
                                {"q_blocks", &q_blocks},
                                {"max_nnz", &max_nnz},
                                {"sm_count", &sm_count}});
    }
};

/// The names of a template, each given once: they share one scope in expressions and in `struct Tune`.
class Names {
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

/// Reduces `parameter` to the values written `texts`, in that order.
void narrow(Parameter& parameter, const std::vector<std::string>& texts) {
    if (texts.empty()) throw InputError("an empty list leaves nothing to try; list at least one value");
    const std::string usual = parameter.text(parameter.default_choice);
    Parameter narrowed{parameter.name, {}, {}, 0, parameter.meaning};
    for (std::size_t i = 0; i < texts.size(); ++i) {
        if (std::find(texts.begin(), texts.begin() + static_cast<std::ptrdiff_t>(i), texts[i]) !=
            texts.begin() + static_cast<std::ptrdiff_t>(i)) {
            throw InputError(fmt::format("the value '{}' is listed twice", texts[i]));
        }
        const std::size_t choice = choice_of(parameter, texts[i]);
        if (texts[i] == usual) narrowed.default_choice = i;
        narrowed.values.push_back(parameter.values[choice]);
        if (!parameter.words.empty()) narrowed.words.push_back(parameter.words[choice]);
    }
    parameter = std::move(narrowed);
}

bool is_integer(double value) {
    return value == std::floor(value) && std::abs(value) <= static_cast<double>(kMaxInt);
}

}  // namespace

struct KernelTemplate::Impl {
    TemplateSpec spec;                  ///< as read; its parameters hold every value and word
    std::vector<Parameter> parameters;  ///< possibly narrowed

    // Scratch memory of expressions; its addresses are in their byte code, so an Impl is never copied or moved.
    std::vector<double> parameter_values;
    std::vector<double> derived_values;
    Surroundings surroundings;

    std::vector<Rule> derived;
    std::vector<Rule> constraints;
    std::vector<KernelRules> kernels;
    std::vector<TensorMapRules> tensor_maps;
    std::optional<Expression> workspace_bytes, workspace_clear_bytes;

    explicit Impl(TemplateSpec given, std::vector<Parameter> narrowed);

    void compile_kernels(const Scope& own, const Scope& call);
    void compile_tensor_maps(const Scope& own, const Scope& call);
    void set(const Candidate& candidate);
    [[nodiscard]] const std::string* first_violation(const Candidate& candidate, const TargetFacts& target);
    [[nodiscard]] const std::string* kernel_violation() const;
};

KernelTemplate::Impl::Impl(TemplateSpec given, std::vector<Parameter> narrowed)
    : spec(std::move(given)),
      parameters(std::move(narrowed)),
      parameter_values(spec.parameters.size(), 0.0),
      derived_values(spec.derived.size(), 0.0) {
    Names names(surroundings, spec.where);
    Scope own;
    for (std::size_t i = 0; i < spec.parameters.size(); ++i) {
        const Parameter& parameter = spec.parameters[i];
        names.claim(parameter.name);
        own.variables[parameter.name] = &parameter_values[i];
        for (std::size_t word = 0; word < parameter.words.size(); ++word) {
            const std::string name = parameter.name + "_" + parameter.words[word];
            names.claim(name);
            own.constants[name] = static_cast<double>(parameter.values[word]);
        }
    }
    for (std::size_t i = 0; i < spec.derived.size(); ++i) {
        const DerivedSpec& item = spec.derived[i];
        names.claim(item.name);
        derived.push_back(
            {Expression(item.value, own), fmt::format("derived value '{}' is not an integer of 32 bits", item.name)});
        own.variables[item.name] = &derived_values[i];
    }
    Scope own_and_target = own;
    surroundings.name_target(own_and_target);
    Scope call = own_and_target;
    surroundings.name_call(call);
    for (const ConstraintSpec& item : spec.constraints) {
        constraints.push_back({Expression(item.require, own_and_target), item.because});
    }
    compile_kernels(own, call);
    compile_tensor_maps(own, call);
    workspace_bytes.emplace(spec.workspace_bytes, call);
    workspace_clear_bytes.emplace(spec.workspace_clear_bytes, call);
}

void KernelTemplate::Impl::compile_kernels(const Scope& own, const Scope& call) {
    for (const KernelSpec& item : spec.kernels) {
        std::vector<Expression> grid;
        for (const ExpressionText& extent : item.grid)
            grid.emplace_back(extent, call);
        kernels.push_back(
            {item.entry, std::move(grid), Expression(item.block, own), Expression(item.shared_bytes, own),
             Expression(item.cluster, own), Expression(item.when, own),
             fmt::format("{} would have a block of 0 or of more than {} threads", item.entry, kMaxThreads),
             fmt::format("{} would need more shared memory than a block may use", item.entry)});
    }
}

void KernelTemplate::Impl::compile_tensor_maps(const Scope& own, const Scope& call) {
    for (const TensorMapSpec& item : spec.tensor_maps) {
        tensor_maps.push_back({item.tensor, item.fp16, Expression(item.rows, own), Expression(item.cols, own),
                               Expression(item.swizzle, own), Expression(item.offset, call)});
    }
}

void KernelTemplate::Impl::set(const Candidate& candidate) {
    if (candidate.choice.size() != parameters.size()) throw std::logic_error("a candidate of another space");
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        parameter_values[i] = static_cast<double>(parameters[i].values[candidate.choice[i]]);
    }
    for (std::size_t i = 0; i < derived.size(); ++i)
        derived_values[i] = derived[i].expression.value();
}

const std::string* KernelTemplate::Impl::first_violation(const Candidate& candidate, const TargetFacts& target) {
    surroundings.set(target);
    set(candidate);
    for (std::size_t i = 0; i < derived.size(); ++i) {
        if (!is_integer(derived_values[i])) return &derived[i].because;
    }
    for (const Rule& rule : constraints) {
        const double value = rule.expression.value();
        if (value == 0.0 || !std::isfinite(value)) return &rule.because;
    }
    return spec.device == DeviceKind::cuda ? kernel_violation() : nullptr;
}

const std::string* KernelTemplate::Impl::kernel_violation() const {
    for (const KernelRules& kernel : kernels) {
        if (kernel.when.value() == 0.0) continue;
        const double threads = kernel.block.value();
        if (!(threads >= 1.0 && threads <= kMaxThreads)) return &kernel.too_many_threads;
        if (!(kernel.shared_bytes.value() <= surroundings.shared_limit)) return &kernel.too_much_shared;
    }
    return nullptr;
}

KernelTemplate::KernelTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KernelTemplate::KernelTemplate(TemplateSpec spec) {
    std::vector<Parameter> parameters = spec.parameters;
    impl_ = std::make_unique<Impl>(std::move(spec), std::move(parameters));
}
KernelTemplate::~KernelTemplate() = default;
KernelTemplate::KernelTemplate(KernelTemplate&&) noexcept = default;
KernelTemplate& KernelTemplate::operator=(KernelTemplate&&) noexcept = default;

KernelTemplate KernelTemplate::restricted(const SpaceRestriction& restriction) const {
    std::vector<Parameter> narrowed = impl_->parameters;
    std::set<std::string, std::less<>> seen;
    for (const auto& [name, texts] : restriction.values) {
        const std::string where = fmt::format("{}: key 'values': key '{}'", restriction.where, name);
        try {
            Parameter& parameter = narrowed[index_of_parameter(narrowed, name)];
            if (!seen.insert(name).second) throw InputError("given twice; list all its values once");
            narrow(parameter, texts);
        } catch (const InputError& error) {
            throw InputError(where + ": " + error.what());
        }
    }
    TemplateSpec spec = impl_->spec;
    spec.constraints.insert(spec.constraints.end(), restriction.constraints.begin(), restriction.constraints.end());
    return KernelTemplate(std::make_unique<Impl>(std::move(spec), std::move(narrowed)));
}

const std::string& KernelTemplate::name() const {
    return impl_->spec.name;
}
DeviceKind KernelTemplate::device() const {
    return impl_->spec.device;
}
const std::string& KernelTemplate::main_source() const {
    return impl_->spec.source;
}
const TemplateSpec& KernelTemplate::spec() const {
    return impl_->spec;
}
const std::vector<Parameter>& KernelTemplate::parameters() const {
    return impl_->parameters;
}
const std::vector<SourceFile>& KernelTemplate::files() const {
    return impl_->spec.files;
}

std::string KernelTemplate::unsupported_reason(const TargetFacts& target) const {
    const TemplateSpec& spec = impl_->spec;
    if (spec.device != target.kind) {
        return fmt::format("template {} is for a {} device", spec.name,
                           spec.device == DeviceKind::cuda ? "cuda" : "cpu");
    }
    if (spec.device == DeviceKind::cpu || (target.arch >= spec.min_arch && target.arch <= spec.max_arch)) return {};
    const std::string upto = spec.max_arch == kMaxInt ? " or newer" : fmt::format(" to sm_{}", spec.max_arch);
    return fmt::format("template {} needs sm_{}{}; this device is {}", spec.name, spec.min_arch, upto,
                       target.arch_name);
}

TargetFacts KernelTemplate::usual_target() const {
    if (impl_->spec.device == DeviceKind::cpu) return target_facts("native");
    TargetFacts facts = target_facts("sm_90a");
    facts.arch = std::clamp(facts.arch, impl_->spec.min_arch, impl_->spec.max_arch);
    return facts;
}

bool KernelTemplate::legal(const Candidate& candidate, const TargetFacts& target) const {
    return impl_->first_violation(candidate, target) == nullptr;
}

std::string KernelTemplate::violated(const Candidate& candidate, const TargetFacts& target) const {
    const std::string* because = impl_->first_violation(candidate, target);
    return because == nullptr ? std::string() : *because;
}

Space KernelTemplate::space(const TargetFacts& target) const {
    return {impl_->parameters, [impl = impl_.get(), target](const Candidate& candidate) {
                return impl->first_violation(candidate, target) == nullptr;
            }};
}

std::string KernelTemplate::tune_header(const Candidate& candidate) const {
    impl_->set(candidate);
    const auto line = [](const std::string& text) { return "    static constexpr int " + text + ";\n"; };
    std::string header = "#pragma once\n\nstruct Tune {\n";
    for (std::size_t i = 0; i < impl_->parameters.size(); ++i) {
        const Parameter& all = impl_->spec.parameters[i];
        const std::int64_t value = impl_->parameters[i].values[candidate.choice[i]];
        if (all.words.empty()) {
            header += line(fmt::format("{} = {}", all.name, value));
            continue;
        }
        std::vector<std::string> names;
        for (std::size_t word = 0; word < all.words.size(); ++word) {
            names.push_back(fmt::format("{}_{} = {}", all.name, all.words[word], all.values[word]));
        }
        header += line(fmt::format("{}", fmt::join(names, ", ")));
        header += line(fmt::format("{0} = {0}_{1}", all.name, impl_->parameters[i].text(candidate.choice[i])));
    }
    for (std::size_t i = 0; i < impl_->derived.size(); ++i) {
        const std::int64_t value = impl_->derived[i].expression.integer(-kMaxInt, kMaxInt);
        header += line(fmt::format("{} = {}", impl_->spec.derived[i].name, value));
    }
    return header + "};\n";
}

std::vector<SourceFile> KernelTemplate::source_bundle(const Candidate& candidate) const {
    std::vector<SourceFile> bundle;
    for (const SourceFile& file : impl_->spec.files) {
        if (file.name != kTemplateFile) bundle.push_back(file);
    }
    bundle.push_back({kArgsHeader, std::string(embedded::attn_args_header)});
    bundle.push_back({kTuneHeader, tune_header(candidate)});
    return bundle;
}

std::vector<std::string> KernelTemplate::entries() const {
    std::vector<std::string> names;
    for (const KernelSpec& kernel : impl_->spec.kernels)
        names.push_back(kernel.entry);
    return names;
}

LaunchPlan KernelTemplate::plan(const Candidate& candidate, const CallShape& shape, const TargetFacts& target) const {
    constexpr std::int64_t kMaxBytes = std::int64_t{1} << 40;  // no device has more
    constexpr std::int64_t kMaxGridYz = 65535;
    constexpr int kMaxCluster = 16;
    constexpr int kMaxBox = 256;
    impl_->surroundings.set(target);
    impl_->surroundings.set(shape);
    impl_->set(candidate);
    LaunchPlan plan;
    for (const KernelRules& rules : impl_->kernels) {
        if (rules.when.value() == 0.0) continue;
        KernelLaunch launch;
        launch.entry = rules.entry;
        for (std::size_t axis = 0; axis < 3; ++axis) {
            launch.grid[axis] = rules.grid[axis].integer(1, axis == 0 ? kMaxInt : kMaxGridYz);
        }
        launch.threads = static_cast<int>(rules.block.integer(1, kMaxThreads));
        launch.shared_bytes = static_cast<int>(rules.shared_bytes.integer(0, kMaxInt));
        launch.cluster = static_cast<int>(rules.cluster.integer(1, kMaxCluster));
        plan.kernels.push_back(std::move(launch));
    }
    plan.workspace_bytes = impl_->workspace_bytes->integer(0, kMaxBytes);
    plan.workspace_clear_bytes = impl_->workspace_clear_bytes->integer(0, plan.workspace_bytes);
    for (const TensorMapRules& rules : impl_->tensor_maps) {
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
