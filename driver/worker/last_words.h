// What a worker writes to stderr, as far as it explains its end.
#pragma once

#include "core/clipped_text.h"

namespace attune {

/// Owns the reading end of the pipe a worker has as stderr. A worker without end of words costs no memory, and is not
/// held up while somebody waits for its answer (Channel::receive).
class LastWords {
  public:
    /// None are heard.
    LastWords() = default;
    /// Takes over `descriptor` and makes it one that nobody waits for.
    explicit LastWords(int descriptor);
    ~LastWords();
    LastWords(LastWords&& other) noexcept;
    LastWords& operator=(LastWords&& other) noexcept;

    /// For poll; -1 when nothing more can come.
    [[nodiscard]] int descriptor() const { return descriptor_; }
    /// Takes some of what has been written, without waiting; false when there was nothing.
    bool listen();
    /// Takes all that was written before the worker's end.
    void listen_to_the_end();
    /// What comes from now on is of another matter.
    void forget();
    [[nodiscard]] std::string text() const;

  private:
    static constexpr std::size_t kMostBytes = 4096;
    int descriptor_ = -1;
    ClippedText words_{kMostBytes};
};

}  // namespace attune
