#include "core/kernel_template.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <set>

#include "core/error.h"
#include "core/template_rules.h"

namespace attune {
namespace embedded {
extern const std::string_view attn_args_header;
}

namespace {

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

}  // namespace

KernelTemplate::KernelTemplate(TemplateSpec spec, std::vector<Parameter> parameters)
    : spec_(std::move(spec)), rules_(std::make_unique<TemplateRules>(spec_, std::move(parameters))) {}
KernelTemplate::KernelTemplate(TemplateSpec spec)
    : spec_(std::move(spec)), rules_(std::make_unique<TemplateRules>(spec_, spec_.parameters)) {}
KernelTemplate::~KernelTemplate() = default;
KernelTemplate::KernelTemplate(KernelTemplate&&) noexcept = default;
KernelTemplate& KernelTemplate::operator=(KernelTemplate&&) noexcept = default;

KernelTemplate KernelTemplate::restricted(const SpaceRestriction& restriction) const {
    std::vector<Parameter> narrowed = parameters();
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
    TemplateSpec spec = spec_;
    spec.constraints.insert(spec.constraints.end(), restriction.constraints.begin(), restriction.constraints.end());
    return {std::move(spec), std::move(narrowed)};
}

const std::vector<Parameter>& KernelTemplate::parameters() const {
    return rules_->parameters();
}

std::string KernelTemplate::unsupported_reason(const TargetFacts& target) const {
    if (spec_.device != target.kind) {
        return fmt::format("template {} is for a {} device", spec_.name,
                           spec_.device == DeviceKind::cuda ? "cuda" : "cpu");
    }
    if (spec_.device == DeviceKind::cpu || (target.arch >= spec_.min_arch && target.arch <= spec_.max_arch)) return {};
    const std::string upto = spec_.max_arch == std::numeric_limits<int>::max() ? " or newer"
                             : spec_.max_arch == spec_.min_arch                ? ""
                                                                : fmt::format(" to sm_{}", spec_.max_arch);
    return fmt::format("template {} needs sm_{}{}; this device is {}", spec_.name, spec_.min_arch, upto,
                       target.arch_name);
}

TargetFacts KernelTemplate::usual_target() const {
    if (spec_.device == DeviceKind::cpu) return target_facts("native");
    TargetFacts facts = target_facts("sm_90a");
    facts.arch = std::clamp(facts.arch, spec_.min_arch, spec_.max_arch);
    return facts;
}

bool KernelTemplate::legal(const Candidate& candidate, const TargetFacts& target) const {
    return rules_->first_violation(candidate, target) == nullptr;
}

std::string KernelTemplate::violated(const Candidate& candidate, const TargetFacts& target) const {
    const std::string* because = rules_->first_violation(candidate, target);
    return because == nullptr ? std::string() : *because;
}

Space KernelTemplate::space(const TargetFacts& target) const {
    return {parameters(), [rules = rules_.get(), target](const Candidate& candidate) {
                return rules->first_violation(candidate, target) == nullptr;
            }};
}

std::string KernelTemplate::tune_header(const Candidate& candidate) const {
    const std::vector<std::int64_t> derived = rules_->derived(candidate);
    const auto line = [](const std::string& text) { return "    static constexpr int " + text + ";\n"; };
    std::string header = "#pragma once\n\nstruct Tune {\n";
    for (std::size_t i = 0; i < parameters().size(); ++i) {
        const Parameter& all = spec_.parameters[i];
        const std::int64_t value = parameters()[i].values[candidate.choice[i]];
        if (all.words.empty()) {
            header += line(fmt::format("{} = {}", all.name, value));
            continue;
        }
        std::vector<std::string> names;
        for (std::size_t word = 0; word < all.words.size(); ++word) {
            names.push_back(fmt::format("{}_{} = {}", all.name, all.words[word], all.values[word]));
        }
        header += line(fmt::format("{}", fmt::join(names, ", ")));
        header += line(fmt::format("{0} = {0}_{1}", all.name, parameters()[i].text(candidate.choice[i])));
    }
    for (std::size_t i = 0; i < derived.size(); ++i)
        header += line(fmt::format("{} = {}", spec_.derived[i].name, derived[i]));
    return header + "};\n";
}

std::vector<SourceFile> KernelTemplate::source_bundle(const Candidate& candidate) const {
    std::vector<SourceFile> bundle;
    for (const SourceFile& file : spec_.files) {
        if (file.name != kTemplateFile) bundle.push_back(file);
    }
    bundle.push_back({kArgsHeader, std::string(embedded::attn_args_header)});
    bundle.push_back({kTuneHeader, tune_header(candidate)});
    return bundle;
}

std::vector<std::string> KernelTemplate::entries() const {
    std::vector<std::string> names;
    for (const KernelSpec& kernel : spec_.kernels)
        names.push_back(kernel.entry);
    return names;
}

LaunchPlan KernelTemplate::plan(const Candidate& candidate, const CallShape& shape, const TargetFacts& target) const {
    return rules_->plan(candidate, shape, target);
}

}  // namespace attune
