// Suites: lists of cases in the JSON schema of the public Attention Kernel Challenge harness (docs/operator.md).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/workload.h"

namespace attune {

/// Reads a suite; its name is the file's name without ".json". Defaults and rules are the harness's; on top of them an
/// unknown key, a wrong type, a repeated case_id or a case no machine could hold is an InputError that names the file,
/// the case and the key.
[[nodiscard]] Suite load_suite(const std::filesystem::path& path);

/// `load_suite` of a path, or of a built-in suite by its bare name ("quick"), found under `share_dir`/configs/suites.
[[nodiscard]] Suite find_suite(const std::string& name_or_path, const std::filesystem::path& share_dir);

/// The same cases from JSON text; `where` stands for the file in messages and names the suite.
[[nodiscard]] Suite parse_suite(std::string_view json, const std::string& where);

}  // namespace attune
