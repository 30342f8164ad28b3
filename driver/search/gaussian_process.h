// A Gaussian process over the choices of a space: predicts log scores of candidates never tried, and how sure it is.
#pragma once

#include <cstddef>
#include <vector>

#include "core/space.h"

namespace attune {

struct Prediction {
    double mean = 0.0;
    double deviation = 0.0;
};

/// Covariance of two candidates: the product over parameters of exp(-length * distance). Every parameter has two
/// distances, each with its own learned weight: 1 when the values differ at all, and for integers also how far apart
/// their places in the list are. A weight near 0 makes a parameter irrelevant; small weights make it act by itself and
/// in pairs rather than all at once, which is how knobs of kernels behave.
class GaussianProcess {
  public:
    explicit GaussianProcess(const std::vector<Parameter>& parameters);

    /// Takes the observations (standardised: mean 0, variance 1) and factorises. O(n^3).
    void fit(std::vector<const Candidate*> candidates, std::vector<double> values);
    /// One gradient step of the weights towards a larger marginal likelihood of what was fitted. O(n^3).
    void learn();

    /// Prior mean and posterior of candidates. `with_deviation` costs O(n^2) each, the mean O(n).
    [[nodiscard]] double mean(const Candidate& candidate) const;
    [[nodiscard]] Prediction predict(const Candidate& candidate) const;

  private:
    [[nodiscard]] double covariance(const Candidate& a, const Candidate& b) const;
    [[nodiscard]] double distance(std::size_t weight, const Candidate& a, const Candidate& b) const;
    void tabulate();
    void factorise();
    void solve_lower(std::vector<double>& column) const;  ///< column <- L^-1 column

    struct Knob {
        std::size_t levels = 0;
        bool ordered = false;
        std::vector<double> log_table;  ///< levels x levels: -(weights . distances)
    };
    std::vector<Knob> knobs_;
    std::vector<double> log_weights_;  ///< two a knob: differing, distance
    std::vector<double> steps_;        ///< Rprop
    std::vector<double> last_gradient_;
    double prior_ = 0.0;       ///< expected log weight
    double log_noise_ = -5.0;  ///< variance of the noise over that of the values
    double scale_ = 1.0;       ///< variance of the values, profiled out

    std::vector<const Candidate*> candidates_;
    std::vector<double> values_;
    std::vector<double> factor_;  ///< lower Cholesky factor, row major
    std::vector<double> alpha_;
};

}  // namespace attune
