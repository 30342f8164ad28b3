// Memory handed to kernels: what they must not write is either unwritable or watched.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace attune::cpu {

/// Owns whole pages, zeroed.
class PageBuffer {
  public:
    PageBuffer() = default;
    ~PageBuffer() { release(); }
    PageBuffer(PageBuffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    PageBuffer& operator=(PageBuffer&& other) noexcept;

    /// Nothing when the machine has no such room.
    [[nodiscard]] static std::optional<PageBuffer> allocate(std::size_t bytes);

    [[nodiscard]] std::span<std::byte> bytes() const { return {data_, size_}; }
    /// From now on a write into it ends the process.
    void make_read_only();

  private:
    PageBuffer(std::byte* data, std::size_t size) : data_(data), size_(size) {}
    void release() noexcept;
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

/// Memory between two guard bands, so that writes before or behind it are seen.
class GuardedBuffer {
  public:
    /// `bytes` zeroed bytes, page-aligned. Nothing when the machine has no such room.
    [[nodiscard]] static std::optional<GuardedBuffer> allocate(std::size_t bytes);

    [[nodiscard]] std::span<std::byte> bytes() const;
    template <class T>
    [[nodiscard]] std::span<T> as() const {
        return {reinterpret_cast<T*>(bytes().data()), bytes().size() / sizeof(T)};
    }
    /// Where a guard band was written, in words, and empty when unharmed. Harmed bands are made whole again.
    [[nodiscard]] std::string repair_guards();

  private:
    explicit GuardedBuffer(PageBuffer pages, std::size_t size) : pages_(std::move(pages)), size_(size) {}
    [[nodiscard]] std::span<std::byte> band_before() const;
    [[nodiscard]] std::span<std::byte> band_behind() const;

    PageBuffer pages_;
    std::size_t size_ = 0;
};

}  // namespace attune::cpu
