#include "store/store.h"

#include <fmt/format.h>

#include <chrono>
#include <stdexcept>

#include "core/error.h"
#include "store/database.h"
#include "store/lock.h"
#include "store/record_writer.h"
#include "store/rows.h"
#include "store/study_record.h"
#include "store/tsv.h"

namespace attune {
namespace {

std::int64_t now_us() {
    using namespace std::chrono;
    return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
}

std::map<std::string, int> positions_of(const Suite& suite) {
    std::map<std::string, int> positions;
    for (std::size_t i = 0; i < suite.cases.size(); ++i)
        positions.emplace(suite.cases[i].case_id, static_cast<int>(i));
    return positions;
}

std::filesystem::path make_study_folder(const std::filesystem::path& database, const std::string& study) {
    const std::filesystem::path folder = database.parent_path() / study;
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) {
        throw EnvironmentError(fmt::format("cannot create {}: {}; check the permissions of the folder of {}",
                                           folder.string(), error.message(), database.string()));
    }
    return folder;
}

constexpr std::string_view kOfCandidate =
    "WHERE shard_id = ? AND params = ? AND edition_id = (SELECT id FROM edition WHERE template_hash = ?)";

/// What a database's own files in the folder of a study are called by: several databases may lie beside that folder.
std::string prefix_of(const std::filesystem::path& database) {
    if (database.filename() == "attune.db") return {};
    return (database.extension() == ".db" ? database.stem() : database.filename()).string() + ".";
}

/// What exists while a study is open; the lock first, so that it is let go of last.
struct OpenStudy {
    OpenStudy(SQLite::Database& db, StudyLock held, StudyIds study_ids, const Suite& suite,
              std::filesystem::path tsv_path)
        : lock(std::move(held)),
          ids(study_ids),
          tsv(std::move(tsv_path)),
          writer(db, positions_of(suite)),
          next_iter(db, "SELECT coalesce(max(iter), 0) + 1 FROM iteration WHERE study_id = ? AND shard_id = ?"),
          begin(db,
                "INSERT INTO intent (shard_id, params, edition_id, environment_id, boot_id, is_open, attempts, "
                "opened_us) VALUES (?, ?, ?, ?, ?, 1, 1, ?) ON CONFLICT DO UPDATE SET "
                "environment_id = excluded.environment_id, boot_id = excluded.boot_id, is_open = 1, "
                "attempts = attempts + 1, opened_us = excluded.opened_us"),
          abandon(db, fmt::format("UPDATE intent SET is_open = 0 {}", kOfCandidate)),
          withdraw(db, fmt::format("UPDATE intent SET is_open = 0, attempts = attempts - 1 {}", kOfCandidate)),
          close(db, fmt::format("DELETE FROM intent {}", kOfCandidate)),
          fresh_draw(db, "UPDATE shard SET next_draw = next_draw + 1 WHERE id = ? RETURNING next_draw - 1") {}

    StudyLock lock;
    StudyIds ids;
    TsvFile tsv;
    RecordWriter writer;
    SQLite::Statement next_iter, begin, abandon, withdraw, close, fresh_draw;
};

template <class... Values>
void execute(SQLite::Statement& statement, const Values&... values) {
    statement.reset();
    SQLite::bind(statement, values...);
    statement.exec();
}

}  // namespace

struct Store::Impl {
    explicit Impl(const std::filesystem::path& database) : path(database), db(open_for_writing(database)) {}

    OpenStudy& open() {
        if (!study) throw std::logic_error("Store: no study is open");
        return *study;
    }

    std::optional<IterationRow> one_row(const std::string& condition) {
        SQLite::Statement select(db, row_query(condition));
        SQLite::bind(select, open().ids.study_id, open().ids.shard_id);
        if (!select.executeStep()) return std::nullopt;
        return row_of(select);
    }

    void each_row(const std::function<void(const IterationRow&)>& use) {
        SQLite::Statement select(db, row_query("WHERE i.study_id = ? AND i.shard_id = ? ORDER BY i.iter"));
        SQLite::bind(select, open().ids.study_id, open().ids.shard_id);
        while (select.executeStep())
            use(row_of(select));
    }

    void sync_tsv() {
        open().tsv.sync([this](const std::function<void(const std::string&)>& use) {
            each_row([&](const IterationRow& row) { use(tsv_line(row)); });
        });
    }

    // The iteration is committed and must not fail any more for the sake of its view: what cannot be written now is
    // repaired by the next iteration or by the next opening.
    void append_tsv(std::int64_t iter) {
        try {
            guarded(path, [&] {
                const auto row = one_row(fmt::format("WHERE i.study_id = ? AND i.shard_id = ? AND i.iter = {}", iter));
                if (!open().tsv.append(tsv_line(row.value()))) sync_tsv();
            });
        } catch (const EnvironmentError&) {
            open().tsv.miss_line();
        }
    }

    std::filesystem::path path;
    SQLite::Database db;
    std::optional<OpenStudy> study;
};

Store::Store(const std::filesystem::path& database) : impl_(std::make_unique<Impl>(database)) {}
Store::~Store() = default;

void Store::open_study(const Study& study, const KernelTemplate& tmpl) {
    require_study_name(study.name);
    impl_->study.reset();
    // Of the file itself, as SQLite's own files are: a link to it is no second database.
    const std::filesystem::path database = std::filesystem::weakly_canonical(impl_->path);
    const std::filesystem::path folder = make_study_folder(database, study.name);
    const std::string prefix = prefix_of(database);
    StudyLock lock(folder / fmt::format(".{}lock", prefix), study.name);
    guarded(impl_->path, [&] {
        SQLite::Transaction transaction(impl_->db, SQLite::TransactionBehavior::IMMEDIATE);
        const StudyIds ids = find_or_create_study(impl_->db, impl_->path, study, tmpl, now_us());
        transaction.commit();
        impl_->study.emplace(impl_->db, std::move(lock), ids, study.suite, folder / (prefix + "iters.tsv"));
    });
    sync_tsv();
}

std::vector<IterationRow> Store::iterations() const {
    return guarded(impl_->path, [&] {
        std::vector<IterationRow> rows;
        impl_->each_row([&](const IterationRow& row) { rows.push_back(row); });
        return rows;
    });
}

std::optional<IterationRow> Store::incumbent() const {
    return guarded(impl_->path, [&] {
        return impl_->one_row(
            fmt::format("WHERE i.study_id = ? AND i.shard_id = ? AND i.status = 'keep' AND {} ORDER BY i.iter DESC "
                        "LIMIT 1",
                        not_refuted("i")));
    });
}

std::vector<SourceFile> Store::sources(std::int64_t iter) const {
    return guarded(impl_->path, [&]() -> std::vector<SourceFile> {
        SQLite::Statement find(impl_->db, "SELECT id FROM iteration WHERE study_id = ? AND shard_id = ? AND iter = ?");
        SQLite::bind(find, impl_->open().ids.study_id, impl_->open().ids.shard_id, iter);
        if (!find.executeStep()) return {};
        return read_sources(impl_->db, find.getColumn(0).getInt64());
    });
}

void Store::begin(const Intent& intent) {
    OpenStudy& study = impl_->open();
    const std::string& hash = intent.template_hash;
    if (hash.empty()) throw std::logic_error("Store: an intent of no edition");
    guarded(impl_->path, [&] {
        SQLite::Transaction transaction(impl_->db, SQLite::TransactionBehavior::IMMEDIATE);
        execute(study.begin, study.ids.shard_id, intent.params, *study.writer.edition_id(hash),
                study.writer.environment_id(intent.environment), intent.boot_id, now_us());
        transaction.commit();
    });
}

std::vector<OpenIntent> Store::open_intents() const {
    return guarded(impl_->path, [&] {
        SQLite::Statement select(
            impl_->db,
            "SELECT n.params, t.template_hash, n.boot_id, e.device_name, e.device_uuid, e.driver_version, e.compiler, "
            "e.host, e.attune_version, n.attempts FROM intent n JOIN edition t ON t.id = n.edition_id "
            "JOIN environment e ON e.id = n.environment_id WHERE n.shard_id = ? AND n.is_open = 1 "
            "ORDER BY n.opened_us, n.params");
        select.bind(1, impl_->open().ids.shard_id);
        std::vector<OpenIntent> intents;
        while (select.executeStep()) {
            int column = 0;
            const auto text = [&] { return select.getColumn(column++).getString(); };
            auto& [intent, attempts] = intents.emplace_back();
            intent.params = text();
            intent.template_hash = text();
            intent.boot_id = text();
            intent.environment.device_name = text();
            intent.environment.device_uuid = text();
            intent.environment.driver_version = text();
            intent.environment.compiler = text();
            intent.environment.host = text();
            intent.environment.attune_version = text();
            attempts = select.getColumn(column).getInt();
        }
        return intents;
    });
}

void Store::abandon(const Intent& intent) {
    OpenStudy& study = impl_->open();
    guarded(impl_->path, [&] { execute(study.abandon, study.ids.shard_id, intent.params, intent.template_hash); });
}

void Store::withdraw(const Intent& intent) {
    OpenStudy& study = impl_->open();
    guarded(impl_->path, [&] { execute(study.withdraw, study.ids.shard_id, intent.params, intent.template_hash); });
}

std::int64_t Store::finish(const IterationRecord& record, const std::vector<SourceFile>& sources) {
    OpenStudy& study = impl_->open();
    const std::int64_t iter = guarded(impl_->path, [&] {
        SQLite::Transaction transaction(impl_->db, SQLite::TransactionBehavior::IMMEDIATE);
        study.next_iter.reset();
        SQLite::bind(study.next_iter, study.ids.study_id, study.ids.shard_id);
        study.next_iter.executeStep();
        const std::int64_t next = study.next_iter.getColumn(0).getInt64();
        study.next_iter.reset();
        study.writer.insert(record, sources, {study.ids.study_id, study.ids.shard_id, next, now_us()});
        execute(study.close, study.ids.shard_id, record.params, record.template_hash);
        transaction.commit();
        return next;
    });
    impl_->append_tsv(iter);
    return iter;
}

std::uint32_t Store::fresh_draw() {
    OpenStudy& study = impl_->open();
    return guarded(impl_->path, [&] {
        auto& statement = study.fresh_draw;
        statement.reset();
        statement.bind(1, study.ids.shard_id);
        statement.executeStep();
        const std::uint32_t draw = statement.getColumn(0).getUInt();
        statement.reset();  // ends the transaction, which commits it
        return draw;
    });
}

std::filesystem::path Store::tsv_path() const {
    return impl_->open().tsv.path();
}

void Store::sync_tsv() {
    guarded(impl_->path, [&] { impl_->sync_tsv(); });
}

}  // namespace attune
