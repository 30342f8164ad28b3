#include "config/study.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "config/built_in.h"
#include "config/json_reader.h"
#include "config/space.h"
#include "config/suite.h"
#include "config/template.h"
#include "core/error.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

bool is_path(const std::string& text) {
    return text.find('/') != std::string::npos;
}

std::string list(const std::vector<std::string>& names) {
    return names.empty() ? "there is none" : fmt::format("{}", fmt::join(names, ", "));
}

std::vector<std::string> template_names(const fs::path& folder) {
    std::vector<std::string> names;
    std::error_code unreadable;
    for (const auto& entry : fs::directory_iterator(folder, unreadable)) {
        if (fs::exists(entry.path() / kTemplateFile)) names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

std::string read_name(const JsonValue& value) {
    constexpr std::size_t kLongest = 64;
    const std::string& name = value.line();
    const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    });
    if (!plain || name.size() > kLongest) {
        value.fail(fmt::format("it names a folder, so write up to {} of a-z, 0-9, _ and -", kLongest));
    }
    return name;
}

fs::path read_template_folder(const JsonValue& value, const fs::path& study_dir, const fs::path& share_dir) {
    const std::string& text = value.line();
    const fs::path built_in = share_dir / "kernel_templates";
    const fs::path folder = is_path(text) ? study_dir / text : built_in / text;
    if (fs::exists(folder / kTemplateFile)) return folder.lexically_normal();
    if (is_path(text)) {
        value.fail(fmt::format("no {} in {}; paths are relative to the study file", kTemplateFile, folder.string()));
    }
    value.fail(fmt::format("no built-in template '{}'; write one of: {}, or a path with a slash", text,
                           list(template_names(built_in))));
}

Suite read_suite(const JsonValue& value, const fs::path& study_dir, const fs::path& share_dir) {
    const std::string& text = value.line();
    const fs::path built_in = share_dir / "configs" / "suites";
    const fs::path path = is_path(text) ? study_dir / text : built_in / (text + ".json");
    if (!fs::exists(path)) {
        value.fail(is_path(text) ? fmt::format("no such file {}; paths are relative to the study file", path.string())
                                 : fmt::format("no built-in suite '{}'; write one of: {}, or a path with a slash", text,
                                               list(built_in_names(built_in))));
    }
    Suite suite = load_suite(path);
    for (const Family family : kFamilies) {
        const auto is_of_it = [&](const CaseSpec& spec) { return spec.family == family; };
        if (std::none_of(suite.cases.begin(), suite.cases.end(), is_of_it)) {
            value.fail(fmt::format("{} has no case of family {}; the score needs all three", path.string(),
                                   to_string(family)));
        }
    }
    return suite;
}

SpaceRestriction read_study_space(const JsonValue& value, const fs::path& study_dir, const fs::path& share_dir) {
    if (value.is_object()) return read_space(value);
    const std::string& text = value.line();
    const fs::path built_in = share_dir / "configs" / "spaces";
    const fs::path path = is_path(text) ? study_dir / text : built_in / (text + ".json");
    if (!fs::exists(path)) {
        value.fail(is_path(text) ? fmt::format("no such file {}; paths are relative to the study file", path.string())
                                 : fmt::format("no built-in space '{}'; known: {}; write a path with a slash, or the "
                                               "space itself",
                                               text, list(built_in_names(built_in))));
    }
    return read_space(read_json_file(path));
}

/// `key=value,…` in the order written is lost in JSON; the template's order is restored when candidates are described.
std::string read_baseline(const JsonValue& value, const std::vector<Parameter>& parameters, const Candidate& defaults) {
    std::string text;
    for (const auto& [name, item] : value.members()) {
        if (!text.empty()) text += ',';
        text += name + '=' + read_value_text(item);
    }
    try {
        static_cast<void>(parse_params(parameters, text, defaults));
    } catch (const InputError& error) {
        value.fail(error.what());
    }
    return text;
}

MeasureSettings read_measure(const JsonValue& value) {
    constexpr int kMost = 100000;
    const JsonObject object = value.object({"draws", "keep_draws", "min_samples", "max_samples", "warm_samples",
                                            "target_interval", "min_pairs", "max_pairs", "confidence",
                                            "compile_timeout_s", "run_timeout_s", "compile_memory_mb", "early_stop"});
    MeasureSettings measure;
    const auto count = [&](const char* key, int& field, int low, int high) {
        field = static_cast<int>(object.integer_or(key, field, low, high));
    };
    count("draws", measure.draws, 1, 64);
    count("keep_draws", measure.keep_draws, 1, 64);
    count("min_samples", measure.min_samples, 1, kMost);
    count("max_samples", measure.max_samples, 1, kMost);
    count("warm_samples", measure.warm_samples, 0, kMost);
    count("min_pairs", measure.min_pairs, 8, kMost);
    count("max_pairs", measure.max_pairs, 8, kMost);
    measure.early_stop = object.boolean_or("early_stop", measure.early_stop);
    count("compile_memory_mb", measure.compile_memory_mb, 256, 1 << 20);
    measure.target_interval = object.number_or("target_interval", measure.target_interval, 1e-6, 1.0);
    measure.confidence = object.number_or("confidence", measure.confidence, 0.5, 0.999999);
    measure.compile_timeout_s = object.number_or("compile_timeout_s", measure.compile_timeout_s, 0.1, 86400.0);
    measure.run_timeout_s = object.number_or("run_timeout_s", measure.run_timeout_s, 0.1, 86400.0);
    if (measure.max_samples < measure.min_samples) value.fail("max_samples is below min_samples; raise it");
    if (measure.max_pairs < measure.min_pairs) value.fail("max_pairs is below min_pairs; raise it");
    return measure;
}

/// Refuses a space in which nothing is legal. One too large to walk through in a moment is sampled, and believed when
/// that finds nothing: then the search will say so.
void require_legal(const Space& space, const Candidate& baseline, const std::string& where) {
    constexpr std::uint64_t kBudget = 1U << 20U;
    constexpr std::uint64_t kScatter = 0x9E3779B97F4A7C15;  // odd: no common factor with powers of two in the radices
    if (space.legal(baseline)) return;
    const std::uint64_t combinations = space.combinations();
    const bool walk = combinations <= kBudget;
    Candidate candidate;
    for (std::uint64_t i = 0; i < std::min(combinations, kBudget); ++i) {
        space.at(walk ? i : i * kScatter % combinations, candidate);
        if (space.legal(candidate)) return;
    }
    if (!walk) return;
    throw InputError(fmt::format("{}: none of its {} combinations is legal; loosen a constraint or add values", where,
                                 combinations));
}

}  // namespace

Study load_study(const fs::path& path, const fs::path& share_dir) {
    const JsonObject root =
        read_json_file(path).object({"name", "template", "suite", "space", "baseline", "strategy", "seed", "measure"});
    const fs::path study_dir = path.parent_path();
    Study study;
    study.name = read_name(root.get("name"));
    study.template_folder = read_template_folder(root.get("template"), study_dir, share_dir);
    study.suite = read_suite(root.get("suite"), study_dir, share_dir);
    if (const auto space = root.find("space")) study.space = read_study_space(*space, study_dir, share_dir);
    if (const auto strategy = root.find("strategy")) study.strategy = strategy->line();
    study.seed = root.uint64_or("seed", 0);
    if (const auto measure = root.find("measure")) study.measure = read_measure(*measure);

    const KernelTemplate whole = load_template(study.template_folder);
    const KernelTemplate kernel_template = whole.restricted(study.space);
    study.template_name = kernel_template.name();
    const TargetFacts target = kernel_template.usual_target();
    const Space space = kernel_template.space(target);
    if (const auto baseline = root.find("baseline")) {
        study.baseline = read_baseline(*baseline, kernel_template.parameters(), space.defaults());
    }
    const Candidate baseline = space.parse(study.baseline, space.defaults());
    require_legal(space, baseline, study.space.where.empty() ? root.value().where() : study.space.where);
    return study;
}

}  // namespace attune
