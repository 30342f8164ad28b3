// A kernel template as the driver uses it: knobs, legality, generated header, geometry (docs/templates.md).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/launch_plan.h"
#include "core/space.h"
#include "core/target.h"
#include "core/template_spec.h"

namespace attune {

class TemplateRules;

/// A checked template. `load_template` (config/template.h) makes one from a folder. Its answers depend on its arguments
/// alone, but evaluating expressions uses scratch memory inside: one thread at a time.
class KernelTemplate {
  public:
    /// Compiles every expression of `spec`. InputError names file, key and what to write instead.
    explicit KernelTemplate(TemplateSpec spec);
    /// The same template with fewer values and more constraints. A parameter keeps its default where that value
    /// remains, otherwise the first value becomes it. Candidates of the result index the restricted values. InputError
    /// when a parameter or value is unknown or a constraint does not parse.
    [[nodiscard]] KernelTemplate restricted(const SpaceRestriction& restriction) const;

    ~KernelTemplate();
    KernelTemplate(KernelTemplate&&) noexcept;
    KernelTemplate& operator=(KernelTemplate&&) noexcept;

    [[nodiscard]] const std::string& name() const { return spec_.name; }
    [[nodiscard]] DeviceKind device() const { return spec_.device; }
    [[nodiscard]] const std::string& main_source() const { return spec_.source; }  ///< name of the file to compile
    /// As written: its expressions are text, and its parameters hold every value, whatever the restriction.
    [[nodiscard]] const TemplateSpec& spec() const { return spec_; }
    [[nodiscard]] const std::vector<Parameter>& parameters() const;  ///< with the values that are tried
    /// Whether the template runs on `target` at all; otherwise the reason, for one line of an error.
    [[nodiscard]] std::string unsupported_reason(const TargetFacts& target) const;
    /// The facts to judge a space by when no device is known yet: those of this CPU, or of sm_90a with the number of
    /// the architecture (`arch`) brought to the nearest one that the template admits.
    [[nodiscard]] TargetFacts usual_target() const;

    /// Legality of a candidate (in this template's own parameter order) on `target`: derived values are integers,
    /// constraints hold, and every kernel fits the threads and shared memory of a block.
    [[nodiscard]] bool legal(const Candidate& candidate, const TargetFacts& target) const;
    /// Why a candidate is not legal ("because" text of the first constraint it breaks), empty when it is.
    [[nodiscard]] std::string violated(const Candidate& candidate, const TargetFacts& target) const;
    /// The space of candidates legal on `target`. It refers to this template, which must outlive it and not move.
    [[nodiscard]] Space space(const TargetFacts& target) const;

    /// The generated attune_tune.h of a candidate.
    [[nodiscard]] std::string tune_header(const Candidate& candidate) const;
    /// Every file the compiler may include: the template's own, attune/attn_args.h and attune_tune.h.
    [[nodiscard]] std::vector<SourceFile> source_bundle(const Candidate& candidate) const;
    /// The template's own files, template.json included, for the record (`restore` brings them back).
    [[nodiscard]] const std::vector<SourceFile>& files() const { return spec_.files; }
    [[nodiscard]] std::vector<std::string> entries() const;  ///< kernel entry names, all of them

    /// Launches of a candidate on a shape. InputError when an expression's value is not what its place needs.
    [[nodiscard]] LaunchPlan plan(const Candidate& candidate, const CallShape& shape, const TargetFacts& target) const;

  private:
    KernelTemplate(TemplateSpec spec, std::vector<Parameter> parameters);

    TemplateSpec spec_;
    std::unique_ptr<TemplateRules> rules_;
};

}  // namespace attune
