#include "backend/cpu/guarded_buffer.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace attune::cpu {
namespace {

/// Wider than a tile of any kernel, so that a whole misplaced tile lands in it.
constexpr std::size_t kBandBytes = 128 * 128 * sizeof(float);
/// Neither zero nor a NaN of either output type: what kernels write by mistake.
constexpr std::byte kBandByte{0xA5};

}  // namespace

PageBuffer& PageBuffer::operator=(PageBuffer&& other) noexcept {
    if (this != &other) {
        release();
        data_ = std::exchange(other.data_, nullptr);
        size_ = std::exchange(other.size_, 0);
    }
    return *this;
}

void PageBuffer::release() noexcept {
    if (data_ != nullptr) munmap(data_, size_);
}

std::optional<PageBuffer> PageBuffer::allocate(std::size_t bytes) {
    void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) return std::nullopt;
    return PageBuffer(static_cast<std::byte*>(address), bytes);
}

void PageBuffer::make_read_only() {
    static_cast<void>(mprotect(data_, size_, PROT_READ));
}

std::optional<GuardedBuffer> GuardedBuffer::allocate(std::size_t bytes) {
    std::optional<PageBuffer> pages = PageBuffer::allocate(bytes + 2 * kBandBytes);
    if (!pages) return std::nullopt;
    GuardedBuffer buffer(std::move(*pages), bytes);
    std::ranges::fill(buffer.band_before(), kBandByte);
    std::ranges::fill(buffer.band_behind(), kBandByte);
    return buffer;
}

std::span<std::byte> GuardedBuffer::band_before() const {
    return pages_.bytes().first(kBandBytes);
}
std::span<std::byte> GuardedBuffer::bytes() const {
    return pages_.bytes().subspan(kBandBytes, size_);
}
std::span<std::byte> GuardedBuffer::band_behind() const {
    return pages_.bytes().subspan(kBandBytes + size_);
}

std::string GuardedBuffer::repair_guards() {
    const auto harmed = [](std::byte byte) { return byte != kBandByte; };
    const auto before = band_before();
    const auto behind = band_behind();
    std::string where;
    // The harmed byte nearest to the buffer says most about the mistake.
    if (const auto found = std::find_if(before.rbegin(), before.rend(), harmed); found != before.rend()) {
        where = fmt::format("{} bytes before its start", found - before.rbegin() + 1);
    } else if (const auto after = std::ranges::find_if(behind, harmed); after != behind.end()) {
        where = fmt::format("{} bytes behind its end", after - behind.begin());
    }
    if (!where.empty()) {
        std::ranges::fill(before, kBandByte);
        std::ranges::fill(behind, kBandByte);
    }
    return where;
}

}  // namespace attune::cpu
