// The record: every study, iteration, sample and source, in one SQLite file (docs/database.md).
//
// `Store` is the only writer. Each finished iteration is one transaction, durable when `finish` returns. iters.tsv is a
// view of the database beside it, appended to after the commit and rebuilt from it when it disagrees.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/outcome.h"
#include "core/kernel_template.h"
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
    std::array<std::optional<double>, 3> family_ms;
    std::optional<double> bound_ms;  ///< pruned: the score is at least this
    std::optional<bool> robust;
    int registers = -1;
    int shared_bytes = -1;
    int spill_bytes = -1;
    bool performance_warning = false;
    double cost_s = 0.0;
    std::string device_uuid;
};

/// A candidate that was running when its coordinator died.
struct OpenIntent {
    std::string params;
    std::string boot_id;  ///< of the machine's boot it was started under
    int attempts = 0;
};

class Store {
  public:
    /// Opens or creates the database, migrating an older one. EnvironmentError when it cannot be read or written or is
    /// newer than this program.
    explicit Store(const std::filesystem::path& database);
    ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    /// Finds or creates the study and takes its writer lock (EnvironmentError naming the holder's pid when another
    /// coordinator holds it). InputError when the stored study of that name tunes something else.
    void open_study(const Study& study, const KernelTemplate& tmpl);

    /// All finished iterations of the open study in order.
    [[nodiscard]] std::vector<IterationRow> iterations() const;
    [[nodiscard]] std::optional<IterationRow> incumbent() const;  ///< the last keep

    /// The source bundle an iteration was recorded with.
    [[nodiscard]] std::vector<SourceFile> sources(std::int64_t iter) const;

    /// Commits that `params` is about to be launched; finish or abandon closes it.
    void begin(const std::string& params, const std::string& boot_id);
    [[nodiscard]] std::vector<OpenIntent> open_intents() const;
    /// Closes an intent without an iteration: it was interrupted and may be tried again.
    void abandon(const std::string& params);
    /// Records the iteration and closes its intent, in one transaction; appends to iters.tsv. Returns its number.
    std::int64_t finish(const IterationRecord& record, const std::vector<SourceFile>& sources);

    /// The next index of a draw of Q, K, V never used in this study; durable when it returns.
    [[nodiscard]] std::uint32_t fresh_draw();

    /// results/<study>/iters.tsv of the open study.
    [[nodiscard]] std::filesystem::path tsv_path() const;
    /// Rewrites iters.tsv from the database when it differs in any byte (atomic rename).
    void sync_tsv();

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace attune
