// Bayesian optimisation: a Gaussian process learns log scores from everything told, and the candidate with the largest
// expected improvement among a pool of promising ones is next.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "search/gaussian_process.h"
#include "search/guarded_strategy.h"
#include "search/strategies.h"

namespace attune {
namespace {

constexpr std::size_t kFirstRandom = 8;         ///< candidates before the model has a say
constexpr std::size_t kMostObservations = 128;  ///< the model keeps so many: factorising is cubic
constexpr std::size_t kRandomPool = 200;
constexpr std::size_t kElite = 4;  ///< neighbours of so many of the best are in the pool
constexpr int kPoolClimbs = 3;

class Model final : public GuardedStrategy {
  public:
    Model(const Space& space, std::uint64_t seed) : GuardedStrategy(space, seed), process_(space.parameters()) {}

  private:
    struct Observation {
        Candidate candidate;
        double level;
    };

    std::optional<Proposal> propose() override {
        if (told_.size() + pending_.size() < kFirstRandom || told_.size() < 3) {
            auto p = random_proposal("random: the model needs a start");
            if (p) pending_.push_back(p->candidate);
            return p;
        }
        refit();
        const std::vector<Candidate> pool = make_pool();
        if (pool.empty()) return std::nullopt;
        const Candidate* chosen = nullptr;
        double largest = -1.0;
        for (const Candidate& candidate : pool) {
            const double gain = expected_improvement(candidate);
            if (gain > largest) {
                largest = gain;
                chosen = &candidate;
            }
        }
        Candidate best = *chosen;
        for (int climb = 0; climb < kPoolClimbs; ++climb) {
            bool moved = false;
            for (const Candidate& n : new_neighbours(best)) {
                const double gain = expected_improvement(n);
                if (gain > largest) {
                    largest = gain;
                    best = n;
                    moved = true;
                }
            }
            if (!moved) break;
        }
        pending_.push_back(best);
        return Proposal{best,
                        fmt::format("{}: the model expects {:.4g} ms", change_text(space(), best_->candidate, best),
                                    std::exp(process_.mean(best) * spread_ + centre_))};
    }

    double expected_improvement(const Candidate& candidate) const {
        const Prediction p = process_.predict(candidate);
        const double gain = incumbent_ - p.mean;
        const double z = gain / p.deviation;
        const double density = std::exp(-0.5 * z * z) * 0.3989422804014327;
        const double below = 0.5 * std::erfc(-z * 0.7071067811865476);
        return gain * below + p.deviation * density;
    }

    void refit() {
        std::vector<const Candidate*> candidates;
        std::vector<double> levels;
        // keep the best half and latest
        std::vector<std::size_t> order(told_.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        if (order.size() > kMostObservations) {
            std::stable_sort(order.begin(), order.end(),
                             [&](std::size_t a, std::size_t b) { return told_[a].level < told_[b].level; });
            std::vector<std::size_t> rest(order.begin() + kMostObservations / 2, order.end());
            std::sort(rest.begin(), rest.end(), std::greater<>());
            order.resize(kMostObservations / 2);
            order.insert(order.end(), rest.begin(), rest.begin() + kMostObservations / 2);
        }
        for (const std::size_t i : order) {
            candidates.push_back(&told_[i].candidate);
            levels.push_back(told_[i].level);
        }
        // standardise with compressed upper half
        std::vector<double> sorted = levels;
        std::sort(sorted.begin(), sorted.end());
        const double median = sorted[sorted.size() / 2];
        const double best = sorted.front();
        const double reach = std::max(median - best, 1e-6);
        for (double& l : levels)
            if (l > median) l = median + reach * std::log1p((l - median) / reach);
        centre_ = std::accumulate(levels.begin(), levels.end(), 0.0) / double(levels.size());
        double sq = 0;
        for (double l : levels)
            sq += (l - centre_) * (l - centre_);
        spread_ = std::max(1e-9, std::sqrt(sq / double(levels.size())));
        for (double& l : levels)
            l = (l - centre_) / spread_;
        incumbent_ = (best_->level - centre_) / spread_;
        process_.fit(std::move(candidates), std::move(levels));
        process_.learn();
    }

    std::vector<Candidate> make_pool() {
        std::vector<Candidate> pool;
        std::vector<std::size_t> order(told_.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        const std::size_t elite = std::min(kElite, order.size());
        std::partial_sort(order.begin(), order.begin() + std::ptrdiff_t(elite), order.end(),
                          [&](std::size_t a, std::size_t b) { return told_[a].level < told_[b].level; });
        for (std::size_t i = 0; i < elite; ++i) {
            auto n = new_neighbours(told_[order[i]].candidate);
            pool.insert(pool.end(), n.begin(), n.end());
        }
        Candidate c;
        for (std::size_t i = 0, tries = 0; i < kRandomPool && tries < 20 * kRandomPool; ++tries) {
            space().visit(random().below(space().extent()), c);
            if (available(c)) {
                pool.push_back(c);
                ++i;
            }
        }
        return pool;
    }

    void learn(const Trial& trial) override {
        std::erase(pending_, trial.candidate);
        const auto level = log_score(trial);
        double value = level ? *level : worst_;
        if (level) worst_ = std::max(worst_, *level);
        if (!level && told_.empty()) return;
        told_.push_back({trial.candidate, value});
        if (level && (!best_ || value < best_->level)) best_ = Observation{trial.candidate, value};
    }

    GaussianProcess process_;
    std::vector<Observation> told_;
    std::optional<Observation> best_;
    std::vector<Candidate> pending_;
    double worst_ = -1e300, centre_ = 0, spread_ = 1, incumbent_ = 0;
};

}  // namespace

std::unique_ptr<Strategy> make_model(const Space& space, std::uint64_t seed) {
    return std::make_unique<Model>(space, seed);
}
std::unique_ptr<Strategy> make_auto(const Space& space, std::uint64_t seed) {
    return std::make_unique<Model>(space, seed);
}

}  // namespace attune
