#include "cli/warm_start.h"

#include <map>
#include <optional>

#include "loop/experiments.h"

namespace attune {

std::size_t EarlierStudies::add(const std::filesystem::path& database, const std::string& except) {
    const Reader reader(database);
    std::size_t studies = 0;
    for (const StudyInfo& study : reader.studies()) {
        if (study.template_name == template_ && study.name != except) studies += add_study(reader, study.name);
    }
    return studies;
}

std::size_t EarlierStudies::add_study(const Reader& reader, const std::string& study) {
    std::map<std::pair<std::string, std::string>, std::uint32_t> origins;  // by device and edition
    const std::size_t before = trials_.size();
    reader.each_iteration(study, [&](const IterationRow& row) {
        if (!row.geomean_ms && !row.bound_ms) return;
        std::optional<Trial> trial = trial_of(row, space_);
        if (!trial) return;
        const auto [origin, is_new] = origins.try_emplace({row.device_uuid, row.template_hash}, origins_ + 1);
        if (is_new) ++origins_;
        trial->origin = origin->second;
        trials_.push_back(*std::move(trial));
    });
    return trials_.size() > before ? 1 : 0;
}

}  // namespace attune
