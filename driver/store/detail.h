// One iteration out of its tables: the inverse of RecordWriter.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>

#include "store/reader.h"

namespace attune {

/// Everything recorded of the iteration whose `iteration.id` is given; `key` is left to the caller.
[[nodiscard]] IterationDetail read_detail(SQLite::Database& db, std::int64_t iteration_id);

}  // namespace attune
