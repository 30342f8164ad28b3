// One file out of a source bundle.
#pragma once

#include <string>
#include <vector>

#include "core/template_spec.h"

namespace attune {

/// The file called `main_source` with every `#include "…"` of a file of the bundle replaced by that file's text, so
/// that it compiles alone. Includes of anything else stay. A file is taken in where a compiler would have read it:
/// once if it says `#pragma once`, and where that decision hangs on an `#if`, under a guard of its own. Names are
/// looked up beside the including file first, then from the root. Comments and literals are left alone.
/// InputError when `main_source` is missing, or when files include each other without end.
[[nodiscard]] std::string flatten(const std::vector<SourceFile>& bundle, const std::string& main_source);

}  // namespace attune
