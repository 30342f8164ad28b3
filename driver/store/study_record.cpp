#include "store/study_record.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <bit>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/error.h"
#include "store/lock.h"
#include "store/rows.h"
#include "store/sql_values.h"
#include "store/store.h"

namespace attune {
namespace {

using Json = nlohmann::ordered_json;

std::string_view device_name(DeviceKind kind) {
    switch (kind) {
        case DeviceKind::cuda:
            return "cuda";
        case DeviceKind::cpu:
            return "cpu";
    }
    return "?";
}

std::int64_t bits_of(std::uint64_t value) {
    return std::bit_cast<std::int64_t>(value);
}

std::string random_uid() {
    std::uint64_t value = 0;
    if (::getrandom(&value, sizeof value, 0) != static_cast<ssize_t>(sizeof value)) {
        throw EnvironmentError(
            "the kernel gives no random numbers (getrandom failed); check the sandbox's system calls");
    }
    return fmt::format("{:016x}", value);
}

std::string space_json(const Study& study, const KernelTemplate& tmpl) {
    Json space{{"parameters", Json::array()}, {"constraints", Json::array()}};
    for (const Parameter& parameter : tmpl.parameters()) {
        Json values = Json::array();
        for (std::size_t i = 0; i < parameter.values.size(); ++i)
            values.push_back(parameter.text(i));
        space["parameters"].push_back({{"name", parameter.name},
                                       {"values", values},
                                       {"default", parameter.text(parameter.default_choice)},
                                       {"meaning", parameter.meaning}});
    }
    for (const ConstraintSpec& constraint : study.space.constraints) {
        space["constraints"].push_back({{"require", constraint.require.text}, {"because", constraint.because}});
    }
    return space.dump();
}

std::string measure_json(const MeasureSettings& measure) {
    return Json{{"draws", measure.draws},
                {"keep_draws", measure.keep_draws},
                {"min_samples", measure.min_samples},
                {"max_samples", measure.max_samples},
                {"warm_samples", measure.warm_samples},
                {"target_interval", measure.target_interval},
                {"min_pairs", measure.min_pairs},
                {"max_pairs", measure.max_pairs},
                {"early_stop", measure.early_stop},
                {"confidence", measure.confidence},
                {"compile_timeout_s", measure.compile_timeout_s},
                {"run_timeout_s", measure.run_timeout_s},
                {"compile_memory_mb", measure.compile_memory_mb}}
        .dump();
}

void insert_cases(SQLite::Database& db, std::int64_t study_id, const std::vector<CaseSpec>& cases) {
    SQLite::Statement insert(db, "INSERT INTO suite_case VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    for (std::size_t i = 0; i < cases.size(); ++i) {
        const CaseSpec& spec = cases[i];
        insert.reset();
        SQLite::bind(insert, study_id, static_cast<int>(i), spec.case_id, std::string(to_string(spec.family)),
                     spec.batch_size, spec.num_heads, spec.t_max, spec.window_blocks, spec.global_blocks,
                     spec.retrieval_blocks, spec.retrieval_local_bias, spec.seq_len_min_ratio, bits_of(spec.seed),
                     spec.profile);
        insert.exec();
    }
}

std::int64_t create_study(SQLite::Database& db, const Study& study, const KernelTemplate& tmpl, std::int64_t now_us) {
    SQLite::Statement insert(db,
                             "INSERT INTO study (name, template, device, suite, created_us) VALUES (?, ?, ?, ?, ?)");
    SQLite::bind(insert, study.name, study.template_name, std::string(device_name(tmpl.device())), study.suite.name,
                 now_us);
    insert.exec();
    const std::int64_t id = db.getLastInsertRowid();
    insert_cases(db, id, study.suite.cases);
    return id;
}

void require_same(SQLite::Database& db, const std::filesystem::path& path, std::int64_t study_id, const Study& study,
                  const KernelTemplate& tmpl) {
    SQLite::Statement select(db, "SELECT template, device, suite FROM study WHERE id = ?");
    select.bind(1, study_id);
    select.executeStep();
    const auto refuse = [&](const std::string& difference) {
        throw InputError(
            fmt::format("study '{}' in {} {}; give the changed study another name, or another file with --db",
                        study.name, path.string(), difference));
    };
    const std::string stored_template = select.getColumn(0).getString();
    const std::string stored_device = select.getColumn(1).getString();
    const std::string stored_suite = select.getColumn(2).getString();
    if (stored_template != study.template_name) {
        refuse(fmt::format("tunes template {}, not {}", stored_template, study.template_name));
    }
    if (stored_device != device_name(tmpl.device())) {
        refuse(fmt::format("is for a {} device, not {}", stored_device, device_name(tmpl.device())));
    }
    if (read_cases(db, study_id) != study.suite.cases) {
        refuse(fmt::format("was measured on other cases (suite {}) than those of suite {} now", stored_suite,
                           study.suite.name));
    }
}

std::int64_t create_shard(SQLite::Database& db, const std::filesystem::path& path, std::int64_t study_id,
                          std::int64_t now_us) {
    SQLite::Statement insert(db,
                             "INSERT INTO shard (study_id, uid, host, database, baseline, strategy, seed, space, "
                             "measure, next_draw, created_us) VALUES (?, ?, ?, ?, '', '', 0, '', '', ?, ?)");
    SQLite::bind(insert, study_id, random_uid(), host_name(), path.filename().string(),
                 static_cast<std::int64_t>(kFirstFreshDraw), now_us);
    insert.exec();
    return db.getLastInsertRowid();
}

std::int64_t shard_of(SQLite::Database& db, const std::filesystem::path& path, std::int64_t study_id,
                      const Study& study, std::int64_t now_us) {
    SQLite::Statement select(db, "SELECT id FROM shard WHERE study_id = ?");
    select.bind(1, study_id);
    if (!select.executeStep()) return create_shard(db, path, study_id, now_us);
    const std::int64_t id = select.getColumn(0).getInt64();
    if (select.executeStep()) {
        throw InputError(
            fmt::format("{} holds several shards of study '{}', joined by `attune merge`; it is for reading: "
                        "tune into another file with --db and merge again",
                        path.string(), study.name));
    }
    return id;
}

}  // namespace

void require_study_name(const std::string& name) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    };
    if (name.empty() || !std::all_of(name.begin(), name.end(), allowed)) {
        throw InputError(fmt::format("'{}' is no name of a study; use lower-case letters, digits, '-' and '_'", name));
    }
}

StudyIds find_or_create_study(SQLite::Database& db, const std::filesystem::path& path, const Study& study,
                              const KernelTemplate& tmpl, std::int64_t now_us) {
    StudyIds ids;
    SQLite::Statement find(db, "SELECT id FROM study WHERE name = ?");
    find.bind(1, study.name);
    if (find.executeStep()) {
        ids.study_id = find.getColumn(0).getInt64();
        require_same(db, path, ids.study_id, study, tmpl);
    } else {
        ids.study_id = create_study(db, study, tmpl, now_us);
    }
    ids.shard_id = shard_of(db, path, ids.study_id, study, now_us);
    SQLite::Statement note(
        db, "UPDATE shard SET baseline = ?, strategy = ?, seed = ?, space = ?, measure = ? WHERE id = ?");
    SQLite::bind(note, study.baseline, study.strategy, bits_of(study.seed), space_json(study, tmpl),
                 measure_json(study.measure), ids.shard_id);
    note.exec();
    return ids;
}

}  // namespace attune
