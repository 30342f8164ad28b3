// Everything the page says, gathered from the record before any of it is drawn.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "report/effects.h"
#include "report/floors.h"
#include "store/reader.h"

namespace attune {

/// One machine and toolchain the study was measured with.
struct EnvironmentUse {
    std::string device, uuid, driver, compiler, host, attune_version, throttle_reasons;
    std::int64_t iterations = 0;
    std::string clocks_mhz;      ///< "1200–1980", or empty
    std::string temperatures_c;  ///< likewise
};

/// Failures that read the same.
struct FailureGroup {
    std::string outcome;
    std::string message;  ///< first line of the diagnostics
    std::int64_t count = 0;
    std::int64_t latest_iter = 0;
    std::string reproduce;  ///< of the latest
};

/// How well one case of the best kernel is known.
struct CaseNoise {
    std::string case_id;
    std::optional<double> cold_ms, warm_ms, floor_ms;
    std::size_t samples = 0;
    double interval_share = 0.0;  ///< half the median's 95 % interval
    double spread_share = 0.0;    ///< of single samples
    double drift_share = 0.0;
    bool throttled = false;
};

struct ReportData {
    StudyInfo study;
    std::string device;              ///< the model most iterations ran on; what follows is of it alone
    std::int64_t other_devices = 0;  ///< iterations elsewhere
    std::vector<IterationRow> rows;
    std::optional<IterationDetail> best;
    std::optional<std::size_t> first_kept;  ///< in rows
    std::vector<std::size_t> top;           ///< in rows: distinct candidates, fastest first
    std::vector<FailureGroup> failures;
    std::vector<EnvironmentUse> environments;
    std::vector<CaseNoise> noise;
    std::optional<double> challenge_share;  ///< median half-width of the alternations' intervals
    std::optional<double> repeat_share;     ///< median disagreement of candidates measured more than once
    std::optional<DeviceLimits> limits;
    FamilyTimes floors;
    FamilyTimes best_family;  ///< lowest of each family, whichever kernel
    Effects effects;
};

/// `study` may be empty while there is only one. InputError as Reader::study says.
[[nodiscard]] ReportData collect(const Reader& reader, const std::string& study);

}  // namespace attune
