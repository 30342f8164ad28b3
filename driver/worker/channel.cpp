#include "worker/channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace attune {
namespace {

constexpr std::uint32_t kMaxFrameBytes = 256U << 20U;

bool write_all(int descriptor, const std::uint8_t* data, std::size_t size) {
    while (size > 0) {
        // MSG_NOSIGNAL: a dead peer is an answer, not a SIGPIPE.
        const ssize_t written = ::send(descriptor, data, size, MSG_NOSIGNAL);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        data += written;
        size -= static_cast<std::size_t>(written);
    }
    return true;
}

}  // namespace

Channel::~Channel() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

Channel::Channel(Channel&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

Channel& Channel::operator=(Channel&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
}

bool Channel::send(const nlohmann::json& message) {
    const std::vector<std::uint8_t> body = nlohmann::json::to_cbor(message);
    const auto size = static_cast<std::uint32_t>(body.size());
    std::array<std::uint8_t, sizeof size> header{};
    std::memcpy(header.data(), &size, sizeof size);
    return write_all(descriptor_, header.data(), header.size()) && write_all(descriptor_, body.data(), body.size());
}

bool Channel::read_exactly(void* data, std::size_t size, Clock::time_point deadline, ChannelEnd& end) {
    auto* out = static_cast<std::uint8_t*>(data);
    while (size > 0) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd waiting{descriptor_, POLLIN, 0};
        const int ready = ::poll(&waiting, 1, left <= 0 ? 0 : static_cast<int>(std::min<long long>(left, 1 << 30)));
        if (ready < 0 && errno == EINTR) continue;
        if (ready == 0) {
            end = ChannelEnd::timed_out;
            return false;
        }
        const ssize_t got = ::recv(descriptor_, out, size, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            end = ChannelEnd::closed;
            return false;
        }
        out += got;
        size -= static_cast<std::size_t>(got);
    }
    return true;
}

Frame Channel::receive(Clock::time_point deadline) {
    ChannelEnd end = ChannelEnd::closed;
    std::uint32_t size = 0;
    if (!read_exactly(&size, sizeof size, deadline, end)) return end;
    if (size > kMaxFrameBytes) return ChannelEnd::garbled;
    std::vector<std::uint8_t> body(size);
    if (!read_exactly(body.data(), body.size(), deadline, end)) return end;
    return decode_frame(body.data(), body.size());
}

Frame decode_frame(const std::uint8_t* data, std::size_t size) {
    nlohmann::json message = nlohmann::json::from_cbor(data, data + size, /*strict=*/true, /*allow_exceptions=*/false);
    if (message.is_discarded() || !message.is_object()) return ChannelEnd::garbled;
    return message;
}

}  // namespace attune
