// Bayesian optimisation: a Gaussian process learns log scores from everything told, and the candidate with the largest
// expected improvement among a pool of promising ones is next.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "search/earlier_levels.h"
#include "search/gaussian_process.h"
#include "search/guarded_strategy.h"
#include "search/strategies.h"

namespace attune {
namespace {

constexpr std::size_t kFirstRandom = 2;  ///< observations before the model has a say
/// Results before the weights of the covariance are learned. A handful of results says next to nothing of a dozen
/// weights, and what it seems to say leads astray when every result counts most.
constexpr std::size_t kLearnFrom = 10;
constexpr std::size_t kMostObservations = 128;            ///< the model looks at so many: its work is cubic in them
constexpr std::size_t kMostEarlier = 64;                  ///< of them at most so many of earlier studies
constexpr std::size_t kForgetAt = 4 * kMostObservations;  ///< so many are kept before what is of no use is dropped
constexpr std::size_t kRandomPool = 160;                  ///< candidates from anywhere in a pool
constexpr std::size_t kElite = 4;                         ///< the neighbours of so many of the best are in a pool
constexpr int kPoolClimbs = 3;                            ///< steps uphill from the best of a pool
constexpr double kCompressAbove = 0.4;  ///< quantile of the scores above which only their order of magnitude counts

class Model final : public GuardedStrategy {
  public:
    Model(const Space& space, std::uint64_t seed)
        : GuardedStrategy(space, seed), earlier_(space), process_(space.parameters()) {}
    [[nodiscard]] bool needs_result() const override {
        return heard_ || told_.size() + starts_.size() + 1 >= kFirstRandom;
    }

  private:
    std::optional<Proposal> propose() override {
        const std::vector<Level> earlier = earlier_.levels(kMostEarlier);
        if (told_.empty() || told_.size() + starts_.size() + earlier.size() < kFirstRandom) {
            std::optional<Proposal> start = random_proposal("random: the model needs a start");
            if (start) starts_.push_back(start->candidate);
            return start;
        }
        if (stale_) refit(earlier);
        const std::vector<Candidate> pool = make_pool();
        if (pool.empty()) return std::nullopt;
        Candidate chosen;
        double largest = -1.0;
        const auto consider = [&](const std::vector<Candidate>& candidates) {
            bool improved = false;
            for (const Candidate& candidate : candidates) {
                const double gain = expected_improvement(candidate);
                if (gain <= largest) continue;
                largest = gain;
                chosen = candidate;
                improved = true;
            }
            return improved;
        };
        consider(pool);
        for (int climb = 0; climb < kPoolClimbs && consider(new_neighbours(chosen)); ++climb) {
        }
        const double level = process_.mean(chosen) * spread_ + centre_;
        pending_.push_back({chosen, std::max(level, lowest_believed())});
        stale_ = true;
        return Proposal{chosen, fmt::format("{}: {:.4g} ms expected by the model, against {:.4g} ms",
                                            change_text(space(), told_[best_].candidate, chosen), std::exp(level),
                                            std::exp(told_[best_].level))};
    }

    void learn(const Trial& trial) override {
        std::erase_if(pending_, [&](const Level& item) { return item.candidate == trial.candidate; });
        std::erase(starts_, trial.candidate);
        const std::optional<double> level = expected_level(trial);
        if (!level && told_.empty()) return;
        if (level) worst_ = told_.empty() ? *level : std::max(worst_, *level);
        told_.push_back({trial.candidate, level.value_or(worst_), trial.features});
        if (trial.score_ms) earlier_.meet(trial.candidate, *level);
        if (level) compare_with_best(trial.score_ms.has_value());
        stale_ = true;
        if (told_.size() >= kForgetAt) forget();
    }

    /// What was told last becomes the best if it is better; any score is better than a bound.
    void compare_with_best(bool is_score) {
        const bool is_better = is_score == best_is_score_ ? told_.back().level <= told_[best_].level : is_score;
        if (is_better) best_ = told_.size() - 1;
        best_is_score_ = best_is_score_ || is_score;
    }

    /// Drops what `own_levels` will never choose again: neither among the best nor among the latest, whatever comes.
    void forget() {
        std::vector<std::size_t> kept = ranking(kMostObservations / 2);
        kept.push_back(best_);
        for (std::size_t i = told_.size() - kMostObservations; i < told_.size(); ++i)
            kept.push_back(i);
        std::sort(kept.begin(), kept.end());
        kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
        std::vector<Level> rest;
        for (const std::size_t i : kept)
            rest.push_back(std::move(told_[i]));
        best_ = static_cast<std::size_t>(std::lower_bound(kept.begin(), kept.end(), best_) - kept.begin());
        told_ = std::move(rest);
    }

    void hear(const Trial& trial) override {
        earlier_.hear(trial);
        heard_ = true;
        stale_ = true;
    }

    std::optional<double> expected_level(const Trial& trial) const {
        const std::optional<double> level = log_score(trial);
        if (trial.score_ms || !level || !best_is_score_) return level;
        return expected_of_bound(*level, told_[best_].level);
    }

    double expected_improvement(const Candidate& candidate) const {
        constexpr double kInverseRootTwo = 0.70710678118654752;
        constexpr double kInverseRootTwoPi = 0.39894228040143268;
        const Prediction prediction = process_.predict(candidate);
        const double gain = (told_[best_].level - centre_) / spread_ - prediction.mean;
        const double z = gain / prediction.deviation;
        return gain * 0.5 * std::erfc(-z * kInverseRootTwo) +
               prediction.deviation * kInverseRootTwoPi * std::exp(-0.5 * z * z);
    }

    /// A proposal still out is believed to be at most as far ahead of the best as that is of the average: each belief
    /// shapes the next, and where all that was told is alike they would carry one another away.
    double lowest_believed() const {
        const double best = told_[best_].level;
        return best - std::max(0.0, centre_ - best);
    }

    /// Positions in `told_`, best first.
    std::vector<std::size_t> ranking(std::size_t count) const {
        std::vector<std::size_t> order(told_.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        count = std::min(count, order.size());
        std::partial_sort(
            order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
            [&](std::size_t a, std::size_t b) { return std::pair(told_[a].level, a) < std::pair(told_[b].level, b); });
        order.resize(count);
        return order;
    }

    /// What the model looks at: everything, or the best half and the latest half of what it can hold. Proposals still
    /// out count as if they had come true, and starts as if they were as good as the best, so that the next one goes
    /// elsewhere.
    std::vector<Level> own_levels() const {
        std::vector<Level> chosen;
        if (told_.size() <= kMostObservations) {
            chosen = told_;
        } else {
            std::vector<std::size_t> best = ranking(kMostObservations / 2);
            for (const std::size_t i : best)
                chosen.push_back(told_[i]);
            std::sort(best.begin(), best.end());
            for (std::size_t i = told_.size(); chosen.size() < kMostObservations; --i) {
                if (!std::binary_search(best.begin(), best.end(), i - 1)) chosen.push_back(told_[i - 1]);
            }
        }
        chosen.insert(chosen.end(), pending_.begin(), pending_.end());
        for (const Candidate& start : starts_)
            chosen.push_back({start, told_[best_].level});
        return chosen;
    }

    /// Earlier results fill what the search's own leave room for.
    void refit(const std::vector<Level>& earlier) {
        std::vector<KnownScore> observations;
        std::vector<double> levels;
        for (const Level& item : own_levels()) {
            levels.push_back(item.level);
            observations.push_back({item.candidate, 0.0, false, item.features});
        }
        for (const Level& item : earlier) {
            if (observations.size() >= kMostObservations) break;
            levels.push_back(item.level);
            observations.push_back({item.candidate, 0.0, true, item.features});
        }
        compress(levels);
        const double count = static_cast<double>(levels.size());
        centre_ = std::accumulate(levels.begin(), levels.end(), 0.0) / count;
        double squares = 0.0;
        for (const double level : levels)
            squares += (level - centre_) * (level - centre_);
        spread_ = std::max(std::sqrt(squares / count), 1e-9);
        for (std::size_t i = 0; i < levels.size(); ++i)
            observations[i].value = (levels[i] - centre_) / spread_;
        process_.fit(std::move(observations));
        if (told_.size() + earlier.size() >= kLearnFrom) process_.learn();
        stale_ = false;
    }

    /// How bad the bad ones are must not drown what tells the good ones apart.
    static void compress(std::vector<double>& levels) {
        std::vector<double> sorted = levels;
        std::sort(sorted.begin(), sorted.end());
        const double knee = sorted[static_cast<std::size_t>(static_cast<double>(sorted.size()) * kCompressAbove)];
        const double reach = std::max(knee - sorted.front(), 1e-6);
        for (double& level : levels) {
            if (level > knee) level = knee + reach * std::log1p((level - knee) / reach);
        }
    }

    std::vector<Candidate> make_pool() {
        constexpr std::size_t kDrawsEach = 20;  // where little is legal the pool stays smaller
        std::vector<Candidate> pool;
        for (const std::size_t i : ranking(kElite)) {
            const std::vector<Candidate> neighbours = new_neighbours(told_[i].candidate);
            pool.insert(pool.end(), neighbours.begin(), neighbours.end());
        }
        const std::size_t wanted = pool.size() + kRandomPool;
        Candidate candidate;
        for (std::size_t draw = 0; draw < kDrawsEach * kRandomPool && pool.size() < wanted; ++draw) {
            space().visit(random().below(space().extent()), candidate);
            if (available(candidate)) pool.push_back(candidate);
        }
        return pool;
    }

    EarlierLevels earlier_;
    GaussianProcess process_;
    std::vector<Level> told_;  ///< a crash as bad as the worst told
    std::vector<Level> pending_;
    std::vector<Candidate> starts_;  ///< proposed as starts, not told yet: several may be out before any is told
    std::size_t best_ = 0;  ///< position in `told_` of the best score, or where there is none, of the lowest bound
    bool best_is_score_ = false;
    double worst_ = 0.0;
    double centre_ = 0.0;
    double spread_ = 1.0;
    bool heard_ = false;  ///< of earlier studies
    bool stale_ = true;   ///< the process has not seen everything
};

}  // namespace

std::unique_ptr<Strategy> make_model(const Space& space, std::uint64_t seed) {
    return std::make_unique<Model>(space, seed);
}

}  // namespace attune
