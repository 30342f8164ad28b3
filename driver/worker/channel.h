// One end of a socket between coordinator and worker: length-prefixed CBOR frames, each wait bounded by a deadline.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <variant>

namespace attune {

class LastWords;

/// Why no frame came.
enum class ChannelEnd { closed, timed_out, garbled };

using Frame = std::variant<nlohmann::json, ChannelEnd>;

/// Owns one socket descriptor.
class Channel {
  public:
    using Clock = std::chrono::steady_clock;

    explicit Channel(int descriptor) : descriptor_(descriptor) {}
    ~Channel();
    Channel(Channel&& other) noexcept;
    Channel& operator=(Channel&& other) noexcept;

    /// False when the peer is gone, or has read nothing for `limit_sends`' time.
    [[nodiscard]] bool send(const nlohmann::json& message);
    /// The next frame, or why none came. One that is too large or does not decode is `garbled`. Meanwhile listens to
    /// what the peer writes to stderr, so that it need not wait for a reader.
    [[nodiscard]] Frame receive(Clock::time_point deadline, LastWords* words = nullptr);

    /// From now on a peer that does not read holds a send up for so long and no longer.
    void limit_sends(std::chrono::seconds limit) const;

  private:
    [[nodiscard]] bool read_exactly(void* data, std::size_t size, Clock::time_point deadline, LastWords* words,
                                    ChannelEnd& end);
    int descriptor_ = -1;
};

/// Decodes one frame's bytes, which may be anything: an object, or `garbled` when they are not CBOR or nest or unfold
/// beyond what a message needs.
[[nodiscard]] Frame decode_frame(const std::uint8_t* data, std::size_t size);

}  // namespace attune
