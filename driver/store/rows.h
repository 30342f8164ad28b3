// Iterations as rows, for the writer's resume and for every reader.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/template_spec.h"
#include "store/store.h"

namespace attune {

/// `SELECT … FROM iteration i …` of the columns of an IterationRow; `tail` is what follows: WHERE, ORDER BY, LIMIT.
[[nodiscard]] std::string row_query(const std::string& tail);
/// The current row of a statement made from `row_query`.
[[nodiscard]] IterationRow row_of(SQLite::Statement& statement);
/// `iteration.id` of the current row of such a statement.
[[nodiscard]] std::int64_t row_id(SQLite::Statement& statement);

/// SQL condition on the iteration `alias`: its kernel, which is its source and its parameters, was not found incorrect
/// later on. Such a row is the best of nothing, whatever it was kept for.
[[nodiscard]] std::string not_refuted(std::string_view alias);

/// The source bundle of an iteration, by name; empty when none was recorded.
[[nodiscard]] std::vector<SourceFile> read_sources(SQLite::Database& db, std::int64_t iteration_id);

/// The cases of a study, in order.
[[nodiscard]] std::vector<CaseSpec> read_cases(SQLite::Database& db, std::int64_t study_id);

}  // namespace attune
