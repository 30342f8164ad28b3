// The search space: parameters, their values, and which combinations are legal.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attune {

/// One knob. Values are integers; a parameter with words names value i by `words[i]` (and its integer is i).
struct Parameter {
    std::string name;
    std::vector<std::int64_t> values;
    std::vector<std::string> words;  ///< empty, or one a value
    std::size_t default_choice = 0;
    std::string meaning;

    /// How a value is written in `key=value` lists and JSON.
    [[nodiscard]] std::string text(std::size_t choice) const;
};

/// One point of the space: the index of the chosen value for each parameter.
struct Candidate {
    std::vector<std::uint16_t> choice;

    friend bool operator==(const Candidate&, const Candidate&) = default;
    friend auto operator<=>(const Candidate&, const Candidate&) = default;
};

/// The choice of `parameter` written `text`. Throws InputError listing the values when there is none.
[[nodiscard]] std::size_t choice_of(const Parameter& parameter, std::string_view text);
/// Position of the parameter called `name`. Throws InputError with the nearest name, or all, when there is none.
[[nodiscard]] std::size_t index_of_parameter(const std::vector<Parameter>& parameters, std::string_view name);
/// `key=value,…` taken apart; a piece without `=` is left out.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> split_params(std::string_view text);
/// Reads `key=value,…`; parameters not named keep `base`'s choice. Throws InputError naming the bad key or value.
[[nodiscard]] Candidate parse_params(const std::vector<Parameter>& parameters, std::string_view text,
                                     const Candidate& base);

/// A lazily enumerated product of parameters with a legality test. Opening one costs nothing per combination.
class Space {
  public:
    using Legality = std::function<bool(const Candidate&)>;

    Space(std::vector<Parameter> parameters, Legality legal);
    /// A space given by the ranks of its legal candidates, in any order: what a study has recorded.
    [[nodiscard]] static Space of_members(std::vector<Parameter> parameters, std::vector<std::uint64_t> ranks);

    [[nodiscard]] const std::vector<Parameter>& parameters() const { return parameters_; }
    /// Combinations before constraints. Throws InputError at construction when it would exceed 2^63.
    [[nodiscard]] std::uint64_t combinations() const { return combinations_; }
    [[nodiscard]] bool legal(const Candidate& candidate) const;
    /// The candidate of rank `index` in mixed-radix order, and back.
    [[nodiscard]] Candidate at(std::uint64_t index) const;
    void at(std::uint64_t index, Candidate& candidate) const;  ///< the same without allocating
    [[nodiscard]] std::uint64_t index_of(const Candidate& candidate) const;
    /// Walking `visit(0)` to `visit(extent() - 1)` meets every legal candidate once, and illegal ones in between unless
    /// the members are listed. Writes to `candidate` rather than allocating.
    [[nodiscard]] std::uint64_t extent() const { return listed_ ? members_.size() : combinations_; }
    void visit(std::uint64_t position, Candidate& candidate) const {
        at(listed_ ? members_[position] : position, candidate);
    }

    /// All parameters at their defaults; not necessarily legal.
    [[nodiscard]] Candidate defaults() const;
    /// Legal candidates, counted exactly when the extent is at most `limit`, otherwise nothing.
    [[nodiscard]] std::optional<std::uint64_t> count_legal(std::uint64_t limit) const;
    /// Legal candidates that differ from `from` in exactly one parameter.
    [[nodiscard]] std::vector<Candidate> neighbours(const Candidate& from) const;

    /// `tile_m=64,tile_n=128,…` in parameter order: the canonical text, used in iters.tsv and as key in the database.
    [[nodiscard]] std::string describe(const Candidate& candidate) const;
    /// Inverse of `describe` (see parse_params).
    [[nodiscard]] Candidate parse(std::string_view text, const Candidate& base) const;

  private:
    std::vector<Parameter> parameters_;
    Legality legal_;
    std::uint64_t combinations_ = 0;
    bool listed_ = false;
    std::vector<std::uint64_t> members_;  ///< sorted ranks
};

/// The part `index` of `count` of a space: every legal candidate is in exactly one part, whatever the machine. `space`
/// must outlive the part.
[[nodiscard]] Space shard(const Space& space, std::uint64_t index, std::uint64_t count);

}  // namespace attune
