// Compiled variants, by content. One directory an artifact, named by its key:
//
//   <root>/ab/abcdef…/artifact    the cubin or shared object
//   <root>/ab/abcdef…/meta.json   whatever the compiler wants to know again
//   <root>/ab/abcdef…/sha256      of the two above
//
// Several processes use one cache at once without locks: an entry is written under a temporary name, flushed to disk
// and renamed into place whole, so that a reader sees all of it or nothing, whatever dies when. An entry whose bytes do
// not match its recorded hash (a full or failing disk, a person's edit) is removed and counts as missing. The time of
// the hash's file is when the entry was last of use; what was not for longest goes first when the cache is too large.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace attune {

/// Owns a directory that is removed with all it holds, and a lock on it by which others see that its owner lives.
class TemporaryDirectory {
  public:
    /// Makes one of a name of its own in `parent`, which is made when missing. EnvironmentError when it cannot.
    [[nodiscard]] static TemporaryDirectory make(const std::filesystem::path& parent);
    ~TemporaryDirectory() { remove(); }
    TemporaryDirectory(TemporaryDirectory&& other) noexcept
        : path_(std::exchange(other.path_, {})), lock_(std::exchange(other.lock_, -1)) {}
    TemporaryDirectory& operator=(TemporaryDirectory&& other) noexcept;

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  private:
    TemporaryDirectory(std::filesystem::path path, int lock) : path_(std::move(path)), lock_(lock) {}
    void remove() noexcept;
    std::filesystem::path path_;
    int lock_ = -1;  ///< descriptor of the directory; -1 where the file system has no locks
};

/// An entry of the cache, verified.
struct CachedArtifact {
    std::filesystem::path path;  ///< the artifact; never changes once published
    std::string meta;            ///< the JSON text `publish` was given
};

/// What a cache may hold when a study starts: tens of thousands of variants.
inline constexpr std::uintmax_t kCacheLimitBytes = std::uintmax_t{2} << 30U;

/// Of what fails because somebody cleans the cache at that moment.
inline constexpr int kCacheAttempts = 5;

class ArtifactCache {
  public:
    /// Uses `root`, made when missing. EnvironmentError when it cannot be made or written.
    explicit ArtifactCache(std::filesystem::path root);

    /// The entry of `key` (lower-case hex, as from sha256_hex), or nothing. Removes it when it is damaged.
    [[nodiscard]] std::optional<CachedArtifact> lookup(std::string_view key) const;

    /// Makes `bytes` the artifact of `key` and returns the entry. When another process was first, its entry is
    /// returned: equal keys mean equal inputs. `meta` is a JSON object's text. EnvironmentError when the disk refuses.
    CachedArtifact publish(std::string_view key, std::span<const std::byte> bytes, std::string_view meta) const;
    /// The same, with the contents of `file`, which is left alone.
    CachedArtifact publish_file(std::string_view key, const std::filesystem::path& file, std::string_view meta) const;

    /// Where the cache holds more than `limit_bytes`, removes what was not used for longest until a quarter of that is
    /// free. Whoever uses such an entry at this moment finds it missing, and compiles it again.
    void trim(std::uintmax_t limit_bytes) const;

    [[nodiscard]] const std::filesystem::path& root() const { return root_; }

    /// Removes what processes that were killed have left in the cache at `root`. So does whoever opens it.
    static void sweep(const std::filesystem::path& root);

    /// A private directory on the cache's file system.
    [[nodiscard]] TemporaryDirectory scratch() const;

    /// The Result of `work` in such a directory, whose path it is given. Where somebody cleans the cache meanwhile,
    /// that it failed or threw says nothing of what it was to make, and it is done again in another.
    template <class Work>
    [[nodiscard]] std::invoke_result_t<Work, const std::filesystem::path&> undisturbed(Work work) const;

  private:
    [[nodiscard]] std::filesystem::path entry_path(std::string_view key) const;
    /// Writes the entry at `staged`, then moves it to its place.
    [[nodiscard]] CachedArtifact publish_through(const std::filesystem::path& staged, std::string_view key,
                                                 std::span<const std::byte> bytes, std::string_view meta) const;

    std::filesystem::path root_;
};

template <class Work>
std::invoke_result_t<Work, const std::filesystem::path&> ArtifactCache::undisturbed(Work work) const {
    for (int attempt = 1;; ++attempt) {
        const TemporaryDirectory folder = scratch();
        const auto was_disturbed = [&] { return attempt < kCacheAttempts && !std::filesystem::exists(folder.path()); };
        try {
            auto made = work(folder.path());
            if (made.ok() || !was_disturbed()) return made;
        } catch (const std::runtime_error&) {
            if (!was_disturbed()) throw;
        }
    }
}

}  // namespace attune
