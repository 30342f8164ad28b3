#include "worker/channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "worker/last_words.h"

namespace attune {
namespace {

// Above a template folder at its limits (config/template.h), which is the largest thing that is ever sent.
constexpr std::uint32_t kMaxFrameBytes = 96U << 20U;
// Bounds on what a frame may unfold into: decoding recurses, and a value of one byte takes sixteen in memory.
constexpr int kMaxFrameDepth = 16;
constexpr int kMaxFrameValues = 1 << 22;

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

/// Reads a frame without building anything, and stops at the first sign of a hostile one.
class FrameCheck : public nlohmann::json_sax<nlohmann::json> {
  public:
    bool null() override { return count(); }
    bool boolean(bool) override { return count(); }
    bool number_integer(number_integer_t) override { return count(); }
    bool number_unsigned(number_unsigned_t) override { return count(); }
    bool number_float(number_float_t, const string_t&) override { return count(); }
    bool string(string_t&) override { return count(); }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return descend(); }
    bool start_array(std::size_t) override { return descend(); }
    bool key(string_t&) override { return count(); }
    bool end_object() override { return ascend(); }
    bool end_array() override { return ascend(); }
    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override { return false; }

  private:
    bool count() { return ++values_ <= kMaxFrameValues; }
    bool descend() { return ++depth_ <= kMaxFrameDepth && count(); }
    bool ascend() {
        --depth_;
        return true;
    }

    int depth_ = 0;
    int values_ = 0;
};

}  // namespace

Channel::~Channel() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

Channel::Channel(Channel&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

Channel& Channel::operator=(Channel&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
}

void Channel::limit_sends(std::chrono::seconds limit) const {
    const timeval time{limit.count(), 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

bool Channel::send(const nlohmann::json& message) {
    const std::vector<std::uint8_t> body = nlohmann::json::to_cbor(message);
    const auto size = static_cast<std::uint32_t>(body.size());
    std::array<std::uint8_t, sizeof size> header{};
    std::memcpy(header.data(), &size, sizeof size);
    return write_all(descriptor_, header.data(), header.size()) && write_all(descriptor_, body.data(), body.size());
}

bool Channel::read_exactly(void* data, std::size_t size, Clock::time_point deadline, LastWords* words,
                           ChannelEnd& end) {
    auto* out = static_cast<std::uint8_t*>(data);
    while (size > 0) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        std::array<pollfd, 2> waiting{{{descriptor_, POLLIN, 0}, {words ? words->descriptor() : -1, POLLIN, 0}}};
        const int timeout = left <= 0 ? 0 : static_cast<int>(std::min<long long>(left, 1 << 30));
        if (::poll(waiting.data(), waiting.size(), timeout) < 0 && errno == EINTR) continue;
        if (waiting[1].revents != 0) words->listen();
        if (waiting[0].revents == 0) {
            if (left > 0) continue;
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

Frame Channel::receive(Clock::time_point deadline, LastWords* words) {
    ChannelEnd end = ChannelEnd::closed;
    std::uint32_t size = 0;
    if (!read_exactly(&size, sizeof size, deadline, words, end)) return end;
    if (size > kMaxFrameBytes) return ChannelEnd::garbled;
    std::vector<std::uint8_t> body(size);
    if (!read_exactly(body.data(), body.size(), deadline, words, end)) return end;
    return decode_frame(body.data(), body.size());
}

Frame decode_frame(const std::uint8_t* data, std::size_t size) {
    FrameCheck check;
    if (!nlohmann::json::sax_parse(data, data + size, &check, nlohmann::json::input_format_t::cbor)) {
        return ChannelEnd::garbled;
    }
    try {
        nlohmann::json message = nlohmann::json::from_cbor(data, data + size);
        if (message.is_object()) return message;
    } catch (const nlohmann::json::exception&) {
        // A list announced longer than memory; the check above has seen all else.
    }
    return ChannelEnd::garbled;
}

}  // namespace attune
