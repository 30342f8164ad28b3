// What both compilers do with an Artifact around the cache.
#pragma once

#include <string>
#include <vector>

#include "backend/backend.h"

namespace attune {

/// SHA-256 over names and texts of the bundle, in its order.
[[nodiscard]] std::string hash_sources(const std::vector<SourceFile>& sources);

/// The file to compile. InputError when the bundle lacks it.
[[nodiscard]] const SourceFile& find_main_source(const CompileJob& job);

/// The part of an artifact that its key does not determine (log, resources), as JSON for the cache.
[[nodiscard]] std::string to_meta(const Artifact& artifact);
/// Completes `artifact` from `to_meta`'s text; false, and nothing changed, when the text is of no use.
[[nodiscard]] bool from_meta(const std::string& meta, Artifact& artifact);

}  // namespace attune
