// One end of a socket between coordinator and worker: length-prefixed CBOR frames, each wait bounded by a deadline.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <variant>

namespace attune {

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

    /// False when the peer is gone.
    [[nodiscard]] bool send(const nlohmann::json& message);
    /// The next frame, or why none came. Frames over 256 MiB or that do not decode are `garbled`.
    [[nodiscard]] Frame receive(Clock::time_point deadline);

  private:
    [[nodiscard]] bool read_exactly(void* data, std::size_t size, Clock::time_point deadline, ChannelEnd& end);
    int descriptor_ = -1;
};

/// Decodes one frame's bytes; nothing when they are not CBOR within the nesting and size limits.
[[nodiscard]] std::variant<nlohmann::json, ChannelEnd> decode_frame(const std::uint8_t* data, std::size_t size);

}  // namespace attune
