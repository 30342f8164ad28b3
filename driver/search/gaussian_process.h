// A Gaussian process over the choices of a space: predicts log scores of candidates never tried, and how sure it is.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "core/space.h"
#include "search/strategy.h"

namespace attune {

/// A score to learn from.
struct KnownScore {
    Candidate candidate;
    double value = 0.0;      ///< standardised: mean 0, variance 1 over all
    bool elsewhere = false;  ///< measured by an earlier study, on another device or suite
    StaticFeatures features{};
};

/// What a variant compiled to, as coordinates: registers, shared memory, spills, warnings.
using Resources = std::array<double, 4>;

/// Of a standardised score.
struct Prediction {
    double mean = 0.0;
    double deviation = 0.0;
};

/// The covariance of two candidates is the product over knobs of exp(-weight * distance). A knob has two distances,
/// each with a weight that is learned: 1 when the values differ at all, and for integers also how far apart their
/// places in the list are. A weight near 0 makes a knob irrelevant; small weights let knobs act singly and in pairs
/// rather than all at once, which is how those of a kernel behave. Two more weights are learned like the others: how
/// far what was measured elsewhere holds here, and how much alike two must be that compile to different resources
/// (registers, shared memory, spills, warnings). Those of a candidate not compiled yet are taken to be those of the
/// known one that it covaries with most.
class GaussianProcess {
  public:
    explicit GaussianProcess(const std::vector<Parameter>& parameters);

    /// Conditions on `observations`. O(n^3).
    void fit(std::vector<KnownScore> observations);
    /// One step of the weights towards a larger likelihood of what was fitted, and a fit with them. O(n^3).
    void learn();

    [[nodiscard]] double mean(const Candidate& candidate) const;         ///< O(n)
    [[nodiscard]] Prediction predict(const Candidate& candidate) const;  ///< O(n^2)

  private:
    struct Knob {
        std::size_t levels = 0;
        bool ordered = false;
        std::vector<double> exponents;  ///< levels x levels: minus the sum of weight * distance
    };

    void tabulate();
    void guess_resources();
    void condition();
    [[nodiscard]] double knob_exponent(const Candidate& a, const Candidate& b) const;
    [[nodiscard]] double other_exponent(const Resources& resources, bool elsewhere, std::size_t other) const;
    [[nodiscard]] std::vector<double> covariances(const Candidate& candidate) const;
    [[nodiscard]] std::vector<double> likelihood_gradient() const;

    std::vector<Knob> knobs_;
    double usual_log_weight_ = 0.0;
    // Logarithms of the weights: two a knob, those of place and resources, and last that of the noise's share of the
    // variance.
    std::vector<double> settings_;
    double place_exponent_ = 0.0;     ///< minus the weight of the place
    double resource_exponent_ = 0.0;  ///< minus that of the resources
    std::vector<double> steps_;
    std::vector<double> last_gradient_;

    std::vector<KnownScore> observations_;
    std::vector<Resources> resources_;  ///< of the observations
    std::vector<double> kernel_;        ///< n x n, lower triangle
    std::vector<double> inverse_;       ///< of the kernel's Cholesky factor; n x n, lower triangle
    std::vector<double> alpha_;         ///< inverse of the kernel times the values
    double scale_ = 1.0;                ///< variance of the values under the model
};

}  // namespace attune
