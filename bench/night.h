// Databases as long nights leave them, for the benchmarks of the record.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "store/database.h"
#include "store/sample_record.h"
#include "store/store.h"

namespace attune {

/// An iteration as a night leaves it: one in five fails, one in twenty is a contender with stress draws, keeps are
/// rare.
inline IterationRecord night_record(int n) {
    if (n % 5 == 4) return sample_crash(n, fmt::format("kernel.cu({}): error: no\n", n % 50));
    const bool kept = (n & (n - 1)) == 0;
    IterationRecord record =
        sample_record(n, kept ? Status::keep : Status::discard, 0.05 + 1e-6 * ((n * 7919) % 50'000));
    if (n % 20 == 0) {
        record.robust = true;
        for (const char* id : {"w", "g", "r"}) {
            for (const Stress stress : kStresses) {
                record.stresses.push_back({id, stress, {true, 1e-4, 0.25, 1e-6, 0.1, 0, 0, true, ""}});
            }
        }
    }
    return record;
}

/// An iteration of little more than its row: what is left to count where rows are many.
inline IterationRecord lean_record(int n) {
    return sample_crash(n, fmt::format("kernel.cu({}): error: no\n", n % 50));
}

/// Finishes `count` iterations made by `record_of`; microseconds of each.
inline std::vector<double> fill(const std::filesystem::path& path, int count,
                                IterationRecord (*record_of)(int) = night_record) {
    Store store(path);
    store.open_study(sample_study(), sample_template());
    std::vector<double> took_us;
    for (int n = 0; n < count; ++n) {
        const IterationRecord record = record_of(n);
        const std::vector<SourceFile> sources = sample_sources(n);
        const auto start = std::chrono::steady_clock::now();
        store.finish(record, sources);
        const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
        took_us.push_back(took.count());
    }
    return took_us;
}

/// Repeats the iterations of `path` until there are `rows`: the numbers go on, the contents recur.
inline void multiply(const std::filesystem::path& path, std::int64_t rows) {
    SQLite::Database db = open_for_writing(path);
    db.exec("PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA journal_mode = DELETE");
    const std::int64_t have = db.execAndGet("SELECT max(id) FROM iteration").getInt64();
    const auto copy = [&](const std::string& table, const std::string& key, std::int64_t offset,
                          const std::string& extra) {
        SQLite::Statement names(
            db, fmt::format("SELECT group_concat(name, ', ') FROM pragma_table_info('{}') WHERE name NOT IN "
                            "('{}', 'iter')",
                            table, key));
        names.executeStep();
        const std::string columns = names.getColumn(0).getString();
        db.exec(
            fmt::format("INSERT INTO {0} ({1}{2}, {3}) SELECT {1} + {4}{5}, {3} FROM {0} WHERE {1} <= {6} ORDER BY {1}",
                        table, key, extra.empty() ? "" : ", iter", columns, offset, extra, have));
    };
    for (std::int64_t offset = have; offset < rows; offset += have) {
        SQLite::Transaction transaction(db);
        copy("iteration", "id", offset, fmt::format(", iter + {}", offset));
        for (const char* table : {"iteration_detail", "kernel", "case_result", "stress_result"}) {
            copy(table, "iteration_id", offset, "");
        }
        transaction.commit();
    }
    db.exec("PRAGMA journal_mode = WAL");
}

}  // namespace attune
