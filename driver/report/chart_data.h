// What the page's script draws: every iteration, in columns, as JSON.
#pragma once

#include <string>

#include "report/data.h"

namespace attune {

/// Effects drawn at most: more bars than that nobody reads.
inline constexpr std::size_t kMaxEffectBars = 40;

[[nodiscard]] std::string chart_data_json(const ReportData& data);

}  // namespace attune
