#include "worker/last_words.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace attune {
namespace {

/// What a pipe holds unless told otherwise.
constexpr std::size_t kPipeBytes = 64 * 1024;
/// A process that got away from its worker's group may still be writing.
constexpr int kMostReadsAtTheEnd = 16;

}  // namespace

LastWords::LastWords(int descriptor) : descriptor_(descriptor) {
    ::fcntl(descriptor_, F_SETFL, O_NONBLOCK);
}

LastWords::~LastWords() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

LastWords::LastWords(LastWords&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), words_(std::move(other.words_)) {}

LastWords& LastWords::operator=(LastWords&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(words_, other.words_);
    return *this;
}

bool LastWords::listen() {
    if (descriptor_ < 0) return false;
    std::array<char, kPipeBytes> part{};
    const ssize_t count = ::read(descriptor_, part.data(), part.size());
    if (count > 0) {
        words_.append({part.data(), static_cast<std::size_t>(count)});
        return true;
    }
    if (count == 0) ::close(std::exchange(descriptor_, -1));
    return false;
}

void LastWords::listen_to_the_end() {
    for (int reads = 0; reads < kMostReadsAtTheEnd && listen(); ++reads) {
    }
}

void LastWords::forget() {
    listen_to_the_end();
    words_.clear();
}

std::string LastWords::text() const {
    std::string text = words_.text();
    while (!text.empty() && text.back() == '\n')
        text.pop_back();
    return text;
}

}  // namespace attune
