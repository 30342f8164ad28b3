// The covariance stays one whatever is known of the observations.
#include "search/gaussian_process.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>

namespace attune {
namespace {

TEST(GaussianProcessTest, PredictsWhereSomeHaveBeenCompiledAndOthersHaveNot) {
    std::vector<Parameter> parameters;
    for (const char* name : {"a", "b", "c"}) {
        Parameter& parameter = parameters.emplace_back(Parameter{name, {}, {}, 0, ""});
        parameter.values.resize(4);
        std::iota(parameter.values.begin(), parameter.values.end(), 0);
    }
    std::mt19937 random(1);
    const auto pick = [&](unsigned count) { return static_cast<std::uint16_t>(random() % count); };
    std::vector<KnownScore> observations;
    for (int i = 0; i < 60; ++i) {
        KnownScore item{{{pick(4), pick(4), pick(4)}}, pick(100) / 50.0 - 1.0};
        if (i % 3 > 0) {
            item.features.registers = i % 3 == 1 ? 32 : 255;
            item.features.spill_bytes = i % 3 == 1 ? 0 : 4096;
        }
        observations.push_back(item);
    }
    GaussianProcess process(parameters);
    process.fit(observations);
    for (int step = 0; step < 40; ++step) {
        process.learn();
        for (const KnownScore& item : observations) {
            const Prediction prediction = process.predict(item.candidate);
            ASSERT_TRUE(std::isfinite(prediction.mean) && std::isfinite(prediction.deviation)) << "step " << step;
            ASSERT_LT(std::abs(prediction.mean), 10.0) << "step " << step;
        }
    }
}

}  // namespace
}  // namespace attune
