// A Gaussian process over the choices of a space: predicts log scores of candidates never tried, and how sure it is.
#pragma once

#include <cstddef>
#include <vector>

#include "core/space.h"

namespace attune {

/// Of a standardised score.
struct Prediction {
    double mean = 0.0;
    double deviation = 0.0;
};

/// The covariance of two candidates is the product over knobs of exp(-weight * distance). A knob has two distances,
/// each with a weight that is learned: 1 when the values differ at all, and for integers also how far apart their
/// places in the list are. A weight near 0 makes a knob irrelevant; small weights let knobs act singly and in pairs
/// rather than all at once, which is how those of a kernel behave.
class GaussianProcess {
  public:
    explicit GaussianProcess(const std::vector<Parameter>& parameters);

    /// Conditions on `values` (standardised: mean 0, variance 1) at `candidates`. O(n^3).
    void fit(std::vector<Candidate> candidates, std::vector<double> values);
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
    void condition();
    [[nodiscard]] double covariance(const Candidate& a, const Candidate& b) const;
    [[nodiscard]] std::vector<double> covariances(const Candidate& candidate) const;
    [[nodiscard]] std::vector<double> likelihood_gradient() const;

    std::vector<Knob> knobs_;
    double usual_log_weight_ = 0.0;
    // Logarithms of the weights, two a knob, and last that of the noise's share of the variance.
    std::vector<double> settings_;
    std::vector<double> steps_;
    std::vector<double> last_gradient_;

    std::vector<Candidate> candidates_;
    std::vector<double> values_;
    std::vector<double> kernel_;   ///< n x n, lower triangle
    std::vector<double> inverse_;  ///< of the kernel's Cholesky factor; n x n, lower triangle
    std::vector<double> alpha_;    ///< inverse of the kernel times the values
    double scale_ = 1.0;           ///< variance of the values under the model
};

}  // namespace attune
