// What each knob is worth, as far as the recorded results tell.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace attune {

/// A timed result as the model sees it.
struct Observation {
    std::vector<std::pair<std::string, std::string>> settings;  ///< knob and value
    double time = 0.0;                                          ///< in any unit
};

/// How much slower a value is than the best kernel's, other knobs being equal: 0.05 is 5 % slower.
struct ValueEffect {
    std::string value;
    double share = 0.0;
    double low = 0.0;  ///< 95 % interval
    double high = 0.0;
    int results = 0;  ///< with this value
};

struct KnobEffect {
    std::string name;
    std::string best_value;           ///< the best kernel's, which the others are compared with
    std::vector<ValueEffect> values;  ///< the other values tried, by effect
    double spread = 0.0;              ///< between the best and the worst value
};

struct Effects {
    std::vector<KnobEffect> knobs;  ///< the most important first; knobs of one value are left out
    int results = 0;
    double unexplained = 0.0;  ///< standard deviation of what the model does not explain, as a share
};

/// Fits log(time) as a sum of one term a value (interactions count as noise) by ridge regression, whose prior says that
/// effects are around +-30 %; intervals are of its posterior, so a value seen once has a wide one. `best` is compared
/// with. Nothing comes back for fewer than `kFewestResults` results.
[[nodiscard]] Effects knob_effects(const std::vector<Observation>& observations,
                                   const std::vector<std::pair<std::string, std::string>>& best);
inline constexpr int kFewestResults = 8;

}  // namespace attune
