// A study's own rows: what it tunes, and the shard that this database writes.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>

#include "core/kernel_template.h"
#include "core/study.h"

namespace attune {

struct StudyIds {
    std::int64_t study_id = 0;
    std::int64_t shard_id = 0;
};

/// InputError unless `name` can be the name of a study and of its folder.
void require_study_name(const std::string& name);

/// Finds or creates the rows of `study`, in the caller's transaction, and notes its present space and settings.
/// InputError when the stored study has other cases, another template or another kind of device, or several shards.
[[nodiscard]] StudyIds find_or_create_study(SQLite::Database& db, const std::filesystem::path& path, const Study& study,
                                            const KernelTemplate& tmpl, std::int64_t now_us);

}  // namespace attune
