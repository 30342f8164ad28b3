// The record: every study, iteration, sample and source, in one SQLite file (docs/database.md).
//
// `Store` is the only writer. What it promises:
//  - When begin, finish or fresh_draw returns, what it wrote survives the death of the process and the loss of power
//    (write-ahead log, synchronous=FULL). When one throws, nothing of it is written.
//  - An iteration is one transaction together with the end of its intent: it is there whole, once, or not at all.
//  - Iterations of a study count 1, 2, 3, … without a gap.
//  - iters.tsv is a view. It is appended to after the commit, so it may lack the last row after a crash, never hold one
//    too many; opening the study repairs it. A disk too full for it costs no iteration.
// One thread at a time. Every function throws EnvironmentError when the file cannot be read or written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/kernel_template.h"
#include "core/outcome.h"
#include "core/record.h"
#include "core/study.h"

namespace attune {

/// One iteration as queries and resume see it.
struct IterationRow {
    std::int64_t iter = 0;
    std::string params;
    std::string template_hash;  ///< SHA-256 of the template's files
    Status status = Status::crash;
    Outcome outcome = Outcome::crash;
    std::string description;
    std::optional<double> geomean_ms;
    std::optional<double> delta_ms;
    FamilyTimes family_ms;
    std::optional<double> bound_ms;  ///< pruned: the score is at least this
    std::optional<bool> robust;
    int registers = -1;
    int shared_bytes = -1;
    int spill_bytes = -1;
    bool performance_warning = false;
    double cost_s = 0.0;
    std::string device_uuid;
    std::string shard;             ///< uid of the run it belongs to; several only in a merged database
    std::int64_t finished_us = 0;  ///< since 1970, UTC
};

/// Draws of Q, K, V below this index are the study's standing draws; fresh ones are counted from here.
inline constexpr std::uint32_t kFirstFreshDraw = 1U << 16U;

/// A compiler log or failure text longer than this keeps its beginning and end.
inline constexpr std::size_t kMaxLogBytes = 16384;

/// A candidate about to be measured: what its row says if it takes everything down with it.
struct Intent {
    std::string params;
    std::string template_hash;  ///< which edition of the template it is of
    EnvironmentFacts environment;
    std::string boot_id;  ///< of the machine's boot it is started under
};

/// One whose coordinator died.
struct OpenIntent {
    Intent intent;
    int attempts = 0;  ///< times it was begun since its last finish, but for those withdrawn
};

class Store {
  public:
    /// Opens or creates the database, migrating an older one. EnvironmentError when it cannot be read or written, is
    /// locked, damaged, another program's or newer than this program.
    explicit Store(const std::filesystem::path& database);
    ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    /// Finds or creates the study, takes its writer lock (EnvironmentError naming the holder's pid when another
    /// coordinator holds it) and repairs iters.tsv. InputError when the stored study of that name tunes something else
    /// (cases, template or device kind), or when the database is a merged one that holds several shards of it.
    void open_study(const Study& study, const KernelTemplate& tmpl);

    /// All finished iterations of the open study in order.
    [[nodiscard]] std::vector<IterationRow> iterations() const;
    [[nodiscard]] std::optional<IterationRow> incumbent() const;  ///< the last keep that nothing refuted

    /// The source bundle an iteration was recorded with.
    [[nodiscard]] std::vector<SourceFile> sources(std::int64_t iter) const;

    /// Commits that a candidate is about to be launched; finish, abandon or withdraw closes it. An intent is known by
    /// its params and its edition.
    void begin(const Intent& intent);
    [[nodiscard]] std::vector<OpenIntent> open_intents() const;
    /// Closes an intent without an iteration: it was interrupted and may be tried again. The attempt stays counted.
    void abandon(const Intent& intent);
    /// The same where the candidate had no part in the interruption: the attempt does not count.
    void withdraw(const Intent& intent);
    /// Records the iteration and closes its intent, in one transaction; appends to iters.tsv. Returns its number.
    std::int64_t finish(const IterationRecord& record, const std::vector<SourceFile>& sources);

    /// The next index of a draw of Q, K, V never used in this study; durable when it returns.
    [[nodiscard]] std::uint32_t fresh_draw();

    /// iters.tsv of the open study: <study>/iters.tsv beside attune.db, <study>/NAME.iters.tsv beside NAME.db.
    [[nodiscard]] std::filesystem::path tsv_path() const;
    /// Rewrites iters.tsv from the database when it differs in any byte (atomic rename).
    void sync_tsv();

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace attune
