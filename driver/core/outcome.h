// How an experiment ended, as values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace attune {

/// The verdict a row of iters.tsv shows.
enum class Status { keep, discard, crash };

/// The finer outcome the database keeps beside the status.
enum class Outcome { ok, compile_error, launch_error, incorrect, timeout, crash, pruned };

[[nodiscard]] std::string_view to_string(Status status);
[[nodiscard]] std::string_view to_string(Outcome outcome);
[[nodiscard]] std::optional<Status> parse_status(std::string_view text);
[[nodiscard]] std::optional<Outcome> parse_outcome(std::string_view text);

/// Why a candidate has no valid time: one of the failing outcomes, and the words of whoever found out.
struct Failure {
    Outcome outcome = Outcome::crash;
    std::string diagnostics;
};

/// A value, or the candidate's failure. An exception would mean that the environment is broken instead.
template <class T>
class [[nodiscard]] Result {
  public:
    Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}            // NOLINT: implicit on purpose
    Result(Failure failure) : content_(std::in_place_index<1>, std::move(failure)) {}  // NOLINT: implicit on purpose

    [[nodiscard]] bool ok() const { return content_.index() == 0; }
    [[nodiscard]] const T& value() const { return std::get<0>(content_); }
    [[nodiscard]] T& value() { return std::get<0>(content_); }
    [[nodiscard]] const Failure& failure() const { return std::get<1>(content_); }

  private:
    std::variant<T, Failure> content_;
};

}  // namespace attune
