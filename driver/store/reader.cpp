#include "store/reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <map>
#include <numeric>

#include "core/error.h"
#include "core/suggest.h"
#include "store/database.h"
#include "store/detail.h"
#include "store/rows.h"

namespace attune {
namespace {

constexpr std::size_t kShortUid = 4;

/// `[STUDY[@SHARD]:]N` taken apart; empty where left out.
struct IterationText {
    std::string study;
    std::string shard;
    std::int64_t iter = 0;
};

IterationText parse_iteration(const std::string& text) {
    IterationText parsed;
    std::string number = text;
    if (const auto colon = text.rfind(':'); colon != std::string::npos) {
        parsed.study = text.substr(0, colon);
        number = text.substr(colon + 1);
        if (const auto at = parsed.study.find('@'); at != std::string::npos) {
            parsed.shard = parsed.study.substr(at + 1);
            parsed.study.resize(at);
        }
    }
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), parsed.iter);
    if (error != std::errc{} || end != number.data() + number.size() || parsed.iter < 1) {
        throw InputError(
            fmt::format("'{}' names no iteration; write its number as in iters.tsv: 12, or STUDY:12", text));
    }
    return parsed;
}

/// As many leading digits of `uid` as tell it from its siblings.
std::string short_uid(const std::vector<ShardInfo>& shards, const std::string& uid) {
    const auto matches = [&](const std::string& prefix) {
        return std::count_if(shards.begin(), shards.end(), [&](const auto& s) { return s.uid.starts_with(prefix); });
    };
    std::size_t length = kShortUid;
    while (length < uid.size() && matches(uid.substr(0, length)) > 1)
        ++length;
    return uid.substr(0, length);
}

std::string list_shards(const StudyInfo& study) {
    std::vector<std::string> items;
    for (const ShardInfo& shard : study.shards) {
        items.push_back(fmt::format("{} ({} on {}, {} iterations)", short_uid(study.shards, shard.uid), shard.database,
                                    shard.host, shard.iterations));
    }
    return fmt::format("{}", fmt::join(items, ", "));
}

const ShardInfo& find_shard(const StudyInfo& study, const std::string& prefix, std::int64_t iter) {
    std::vector<const ShardInfo*> found;
    for (const ShardInfo& shard : study.shards) {
        if (shard.uid.starts_with(prefix)) found.push_back(&shard);
    }
    if (found.size() == 1) return *found.front();
    if (found.empty()) {
        throw InputError(fmt::format("study '{}' has no shard {}; it has {}", study.name, prefix, list_shards(study)));
    }
    throw InputError(fmt::format("study '{}' was joined from several shards: {}; write {}@{}:{}", study.name,
                                 list_shards(study), study.name, short_uid(study.shards, found.front()->uid), iter));
}

std::vector<ShardInfo> read_shards(SQLite::Database& db, std::int64_t study_id) {
    // Numbers have no gap, so the largest is the count.
    SQLite::Statement select(db,
                             "SELECT uid, host, database, baseline, strategy, seed, space, measure, "
                             "(SELECT coalesce(max(iter), 0) FROM iteration i WHERE i.study_id = h.study_id AND "
                             "i.shard_id = h.id) FROM shard h WHERE study_id = ? ORDER BY uid");
    select.bind(1, study_id);
    std::vector<ShardInfo> shards;
    while (select.executeStep()) {
        ShardInfo& shard = shards.emplace_back();
        shard.uid = select.getColumn(0).getString();
        shard.host = select.getColumn(1).getString();
        shard.database = select.getColumn(2).getString();
        shard.baseline = select.getColumn(3).getString();
        shard.strategy = select.getColumn(4).getString();
        shard.seed = std::bit_cast<std::uint64_t>(static_cast<std::int64_t>(select.getColumn(5).getInt64()));
        shard.space_json = select.getColumn(6).getString();
        shard.measure_json = select.getColumn(7).getString();
        shard.iterations = select.getColumn(8).getInt64();
    }
    return shards;
}

StudyInfo read_study(SQLite::Database& db, SQLite::Statement& row) {
    const std::int64_t id = row.getColumn(0).getInt64();
    StudyInfo study;
    study.name = row.getColumn(1).getString();
    study.template_name = row.getColumn(2).getString();
    study.device = row.getColumn(3).getString() == "cpu" ? DeviceKind::cpu : DeviceKind::cuda;
    study.suite = {row.getColumn(4).getString(), read_cases(db, id)};
    study.shards = read_shards(db, id);
    return study;
}

constexpr const char* kSelectStudy = "SELECT id, name, template, device, suite FROM study";

std::string_view time_column(Family family) {
    switch (family) {
        case Family::sliding_window:
            return "window_ms";
        case Family::sliding_window_global:
            return "global_ms";
        case Family::sliding_window_retrieval:
            return "retrieval_ms";
    }
    return "";
}

/// Study, device and iteration of everything that could be the winner of `request`; every inner query is one descent of
/// an index made for it.
std::string candidates_query(const BestRequest& request) {
    constexpr const char* kOfEach =
        "SELECT s.name AS study, e.device_name, e.device_uuid, (SELECT w.id FROM iteration w WHERE w.study_id = s.id "
        "AND w.environment_id = e.id AND {}) AS candidate FROM study s CROSS JOIN environment e {} WHERE ?1 IN ('', "
        "s.name) AND candidate IS NOT NULL";
    const std::string fit = (request.robust ? "w.robust = 1 AND " : "") + not_refuted("w");
    std::string query;
    if (request.family) {
        query = fmt::format(kOfEach,
                            fmt::format("w.outcome = 'ok' AND w.{1} IS NOT NULL AND {0} ORDER BY w.{1}, w.id LIMIT 1",
                                        fit, time_column(*request.family)),
                            "");
    } else {
        query = fmt::format(
            kOfEach, fmt::format("w.shard_id = h.id AND w.status = 'keep' AND {} ORDER BY w.iter DESC LIMIT 1", fit),
            "JOIN shard h ON h.study_id = s.id");
    }
    if (request.robust && !request.family) {
        // What lost to an incumbent that is not robust may still be the fastest that is.
        query += " UNION ALL " +
                 fmt::format(kOfEach,
                             fmt::format("w.outcome = 'ok' AND w.status <> 'keep' AND {} AND NOT EXISTS (SELECT 1 FROM "
                                         "iteration_detail d JOIN iteration k ON k.study_id = w.study_id AND "
                                         "k.shard_id = w.shard_id AND k.iter = d.incumbent_iter WHERE d.iteration_id = "
                                         "w.id AND d.ratio IS NOT NULL AND k.robust = 1) ORDER BY w.geomean_ms, w.id "
                                         "LIMIT 1",
                                         fit),
                             "");
    }
    return query;
}

std::optional<double> deciding_time(const BestRequest& request, const IterationRow& row) {
    return request.family ? row.family_ms[static_cast<std::size_t>(*request.family)] : row.geomean_ms;
}

std::vector<const BestEntry*> addresses_of(const std::vector<BestEntry>& entries) {
    std::vector<const BestEntry*> addresses;
    for (const BestEntry& entry : entries)
        addresses.push_back(&entry);
    return addresses;
}

/// The winner of `request` among entries whose times compare; null when there are none. Each keep of a shard beat the
/// one before it in alternation, which says more than scores taken minutes apart: only the latest counts.
const BestEntry* winner_among(const std::vector<const BestEntry*>& entries, const BestRequest& request) {
    const auto beaten = [&](const BestEntry& entry) {
        return !request.family && entry.row.status == Status::keep &&
               std::ranges::any_of(entries, [&](const BestEntry* other) {
                   return other->row.status == Status::keep && other->key.shard == entry.key.shard &&
                          other->key.iter > entry.key.iter;
               });
    };
    const BestEntry* winner = nullptr;
    for (const BestEntry* entry : entries) {
        if (beaten(*entry)) continue;
        if (winner == nullptr || deciding_time(request, entry->row) < deciding_time(request, winner->row))
            winner = entry;
    }
    return winner;
}

}  // namespace

std::int64_t StudyInfo::iterations() const {
    return std::accumulate(shards.begin(), shards.end(), std::int64_t{0},
                           [](std::int64_t sum, const ShardInfo& shard) { return sum + shard.iterations; });
}

struct Reader::Impl {
    explicit Impl(const std::filesystem::path& database) : path(database), db(open_for_reading(database)) {}

    std::vector<std::string> study_names() {
        std::vector<std::string> names;
        SQLite::Statement select(db, "SELECT name FROM study ORDER BY name");
        while (select.executeStep())
            names.push_back(select.getColumn(0).getString());
        return names;
    }

    /// The study meant by `name`; when it is empty, the only one.
    std::string require_study(const std::string& name) {
        const std::vector<std::string> names = study_names();
        if (names.empty()) {
            throw InputError(fmt::format("{} holds no study yet; run `attune tune STUDY.json` first", path.string()));
        }
        if (name.empty() && names.size() == 1) return names.front();
        if (name.empty()) {
            throw InputError(fmt::format("{} holds {} studies: {}; name one with --study or as {}:N", path.string(),
                                         names.size(), fmt::join(names, ", "), names.front()));
        }
        if (std::find(names.begin(), names.end(), name) == names.end()) {
            const std::vector<std::string_view> known(names.begin(), names.end());
            throw InputError(fmt::format("{} holds no study '{}'{}", path.string(), name, name_hint(name, known)));
        }
        return name;
    }

    StudyInfo study(const std::string& name) {
        SQLite::Statement select(db, fmt::format("{} WHERE name = ?", kSelectStudy));
        select.bind(1, require_study(name));
        select.executeStep();
        return read_study(db, select);
    }

    std::filesystem::path path;
    SQLite::Database db;
};

Reader::Reader(const std::filesystem::path& database) : impl_(std::make_unique<Impl>(database)) {}
Reader::~Reader() = default;
Reader::Reader(Reader&&) noexcept = default;
Reader& Reader::operator=(Reader&&) noexcept = default;

const std::filesystem::path& Reader::path() const {
    return impl_->path;
}

std::vector<StudyInfo> Reader::studies() const {
    return guarded(path(), [&] {
        std::vector<StudyInfo> studies;
        SQLite::Statement select(impl_->db, fmt::format("{} ORDER BY name", kSelectStudy));
        while (select.executeStep())
            studies.push_back(read_study(impl_->db, select));
        return studies;
    });
}

StudyInfo Reader::study(const std::string& name) const {
    return guarded(path(), [&] { return impl_->study(name); });
}

void Reader::each_iteration(const std::string& study, const std::function<void(const IterationRow&)>& use) const {
    guarded(path(), [&] {
        // Shard by shard, which is the order of the index: nothing is sorted.
        SQLite::Statement shards(impl_->db,
                                 "SELECT h.study_id, h.id FROM shard h JOIN study s ON s.id = h.study_id WHERE "
                                 "s.name = ? ORDER BY h.uid");
        SQLite::Statement select(impl_->db, row_query("WHERE i.study_id = ? AND i.shard_id = ? ORDER BY i.iter"));
        shards.bind(1, impl_->require_study(study));
        while (shards.executeStep()) {
            select.reset();
            SQLite::bind(select, shards.getColumn(0).getInt64(), shards.getColumn(1).getInt64());
            while (select.executeStep())
                use(row_of(select));
        }
    });
}

std::vector<IterationRow> Reader::iterations(const std::string& study) const {
    std::vector<IterationRow> rows;
    each_iteration(study, [&](const IterationRow& row) { rows.push_back(row); });
    return rows;
}

IterationKey Reader::resolve(const std::string& text, const std::string& default_study) const {
    const IterationText parsed = parse_iteration(text);
    return guarded(path(), [&]() -> IterationKey {
        const StudyInfo study = impl_->study(parsed.study.empty() ? default_study : parsed.study);
        const ShardInfo& shard = find_shard(study, parsed.shard, parsed.iter);
        if (parsed.iter > shard.iterations) {
            throw InputError(fmt::format(
                "study '{}' has no iteration {}; {}", study.name, parsed.iter,
                shard.iterations == 0 ? "it has none yet" : fmt::format("it has 1 to {}", shard.iterations)));
        }
        return {study.name, shard.uid, parsed.iter};
    });
}

IterationDetail Reader::iteration(const IterationKey& key) const {
    return guarded(path(), [&] {
        SQLite::Statement find(impl_->db,
                               "SELECT i.id FROM study s JOIN shard h ON h.study_id = s.id JOIN iteration i ON "
                               "i.study_id = s.id AND i.shard_id = h.id WHERE s.name = ? AND h.uid = ? AND "
                               "i.iter = ?");
        SQLite::bind(find, key.study, key.shard, key.iter);
        if (!find.executeStep()) {
            throw InputError(fmt::format("study '{}' has no iteration {}", key.study, key.iter));
        }
        IterationDetail detail = read_detail(impl_->db, find.getColumn(0).getInt64());
        detail.key = key;
        return detail;
    });
}

std::string Reader::short_name(const IterationKey& key) const {
    return guarded(path(), [&] {
        const StudyInfo study = impl_->study(key.study);
        if (study.shards.size() > 1) {
            return fmt::format("{}@{}:{}", key.study, short_uid(study.shards, key.shard), key.iter);
        }
        return impl_->study_names().size() > 1 ? fmt::format("{}:{}", key.study, key.iter)
                                               : fmt::format("{}", key.iter);
    });
}

std::vector<BestEntry> Reader::best(const BestRequest& request) const {
    return guarded(path(), [&] {
        if (!request.study.empty()) (void)impl_->require_study(request.study);
        SQLite::Statement candidates(impl_->db, candidates_query(request));
        candidates.bind(1, request.study);
        SQLite::Statement select(impl_->db, row_query("WHERE i.id = ?"));
        // By study and device, which has several environments when its driver or this program was updated.
        std::map<std::array<std::string, 3>, std::vector<BestEntry>> of_device;
        while (candidates.executeStep()) {
            select.reset();
            select.bind(1, candidates.getColumn(3).getInt64());
            select.executeStep();
            BestEntry entry{{}, candidates.getColumn(1).getString(), row_of(select)};
            entry.key = {candidates.getColumn(0).getString(), entry.row.shard, entry.row.iter};
            of_device[{entry.key.study, entry.device_name, entry.row.device_uuid}].push_back(std::move(entry));
        }
        std::vector<BestEntry> winners;
        for (const auto& [device, entries] : of_device)
            winners.push_back(*winner_among(addresses_of(entries), request));
        return winners;
    });
}

const BestEntry* winner_of(const std::vector<BestEntry>& entries, const std::string& device_name,
                           const BestRequest& request) {
    std::vector<const BestEntry*> comparable = addresses_of(entries);
    std::erase_if(comparable, [&](const BestEntry* entry) { return entry->device_name != device_name; });
    return winner_among(comparable, request);
}

}  // namespace attune
