#include "backend/artifact_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

#include "core/error.h"
#include "core/outcome.h"
#include "core/sha256.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kScratchFolder = "tmp";
constexpr std::string_view kArtifactFile = "artifact";
constexpr std::string_view kMetaFile = "meta.json";
constexpr std::string_view kHashFile = "sha256";
/// Of scratch whose lock says nothing: no compile lasts that long.
constexpr auto kStaleAge = std::chrono::hours(6);
/// Scratch begins its life under such a name, so that nobody takes it for a dead process's before it is locked.
constexpr char kUnlockedMark = '.';

[[noreturn]] void fail(const fs::path& path, std::string_view action, int error) {
    throw EnvironmentError(fmt::format("cache: cannot {} {}: {}; free space or set ATTUNE_CACHE to another folder",
                                       action, path.string(), std::generic_category().message(error)));
}

/// Owns a file descriptor.
class Descriptor {
  public:
    Descriptor(const fs::path& path, int flags) : value_(open(path.c_str(), flags | O_CLOEXEC, 0644)) {
        if (value_ < 0) fail(path, "open", errno);
    }
    ~Descriptor() { close(value_); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int get() const { return value_; }

  private:
    int value_;
};

void flush_directory(const fs::path& path) {
    const Descriptor directory(path, O_RDONLY | O_DIRECTORY);
    if (fsync(directory.get()) != 0) fail(path, "flush", errno);
}

void write_flushed(const fs::path& path, std::span<const std::byte> bytes) {
    const Descriptor file(path, O_WRONLY | O_CREAT | O_EXCL);
    while (!bytes.empty()) {
        const ssize_t written = write(file.get(), bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail(path, "write", errno);
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    if (fsync(file.get()) != 0) fail(path, "flush", errno);
}

std::optional<std::string> read_file(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return std::nullopt;
    std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    return file.bad() ? std::nullopt : std::optional(std::move(bytes));
}

std::string entry_hash(std::string_view artifact, std::string_view meta) {
    Sha256 sha;
    sha.update_field(artifact);
    sha.update_field(meta);
    return sha.hex();
}

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

void make_directories(const fs::path& path) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) fail(path, "make", error.value());
}

/// A descriptor of `folder` that holds such a lock, or -1 and the reason in errno.
int lock_folder(const fs::path& folder, int operation = LOCK_EX | LOCK_NB) {
    const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0 || flock(descriptor, operation) == 0) return descriptor;
    const int reason = errno;
    close(descriptor);
    errno = reason;
    return -1;
}

/// Keeps others from sweeping what has been made in a folder and not been locked yet. Not where it has just been
/// cleaned away, or where the file system has no locks.
class Making {
  public:
    explicit Making(const fs::path& folder) : lock_(lock_folder(folder, LOCK_SH)) {}
    ~Making() {
        if (lock_ >= 0) close(lock_);
    }
    Making(const Making&) = delete;
    Making& operator=(const Making&) = delete;

  private:
    int lock_;
};

bool is_old(const fs::directory_entry& entry) {
    std::error_code error;
    const auto written = entry.last_write_time(error);
    return !error && fs::file_time_type::clock::now() - written > kStaleAge;
}

/// Removes what processes that were killed have left: the kernel let go of their locks.
void remove_stale(const fs::path& scratch) {
    std::error_code error;
    // While this is held nobody is about to lock what has no lock yet: whoever made it died before.
    const int alone = lock_folder(scratch);
    for (const auto& entry : fs::directory_iterator(scratch, error)) {
        const bool has_lock = entry.path().filename().string().front() != kUnlockedMark;
        const int lock = has_lock ? lock_folder(entry.path()) : -1;
        const bool in_use = has_lock && lock < 0 && errno == EWOULDBLOCK;
        const bool is_dead = lock >= 0 || (!has_lock && alone >= 0);
        if (is_dead || (!in_use && is_old(entry))) fs::remove_all(entry.path(), error);
        if (lock >= 0) close(lock);
    }
    if (alone >= 0) close(alone);
}

struct Entry {
    fs::path path;
    std::uintmax_t bytes = 0;
    fs::file_time_type last_used;
};

/// Every entry under `root`, as far as others do not remove it meanwhile.
std::vector<Entry> list_entries(const fs::path& root) {
    std::vector<Entry> entries;
    std::error_code error;
    for (const auto& group : fs::directory_iterator(root, error)) {
        if (group.path().filename() == kScratchFolder) continue;
        for (const auto& folder : fs::directory_iterator(group.path(), error)) {
            Entry entry{folder.path(), fs::file_size(folder.path() / kArtifactFile, error), {}};
            if (error) continue;
            entry.last_used = fs::last_write_time(folder.path() / kHashFile, error);
            if (!error) entries.push_back(std::move(entry));
        }
    }
    return entries;
}

}  // namespace

TemporaryDirectory TemporaryDirectory::make(const fs::path& parent) {
    for (int attempt = 1;; ++attempt) {
        const auto try_again = [&] { return errno == ENOENT && attempt < kCacheAttempts; };
        make_directories(parent);
        std::string unlocked = (parent / (kUnlockedMark + std::string("XXXXXX"))).string();
        if (mkdtemp(unlocked.data()) == nullptr) {
            if (try_again()) continue;
            fail(parent, "make a folder in", errno);
        }
        const fs::path path = parent / fs::path(unlocked).filename().string().substr(1);
        TemporaryDirectory directory(unlocked, lock_folder(unlocked));
        if (rename(unlocked.c_str(), path.c_str()) != 0) {
            if (try_again()) continue;
            fail(path, "make", errno);
        }
        directory.path_ = path;
        return directory;
    }
}

TemporaryDirectory& TemporaryDirectory::operator=(TemporaryDirectory&& other) noexcept {
    if (this != &other) {
        remove();
        path_ = std::exchange(other.path_, {});
        lock_ = std::exchange(other.lock_, -1);
    }
    return *this;
}

void TemporaryDirectory::remove() noexcept {
    if (path_.empty()) return;
    std::error_code ignored;  // what remains is swept when a later process opens the cache
    fs::remove_all(path_, ignored);
    if (lock_ >= 0) close(lock_);
}

ArtifactCache::ArtifactCache(fs::path root) : root_(std::move(root)) {
    make_directories(root_ / kScratchFolder);
    // Where it has gone again already, it is made again when it is needed.
    if (access(root_.c_str(), W_OK | X_OK) != 0 && errno != ENOENT) fail(root_, "write to", errno);
    sweep(root_);
}

void ArtifactCache::sweep(const fs::path& root) {
    remove_stale(root / kScratchFolder);
}

fs::path ArtifactCache::entry_path(std::string_view key) const {
    return root_ / key.substr(0, 2) / key;
}

TemporaryDirectory ArtifactCache::scratch() const {
    make_directories(root_ / kScratchFolder);
    const Making making(root_ / kScratchFolder);
    return TemporaryDirectory::make(root_ / kScratchFolder);
}

std::optional<CachedArtifact> ArtifactCache::lookup(std::string_view key) const {
    const fs::path entry = entry_path(key);
    const auto recorded = read_file(entry / kHashFile);
    const auto artifact = read_file(entry / kArtifactFile);
    auto meta = read_file(entry / kMetaFile);
    if (recorded && artifact && meta && *recorded == entry_hash(*artifact, *meta)) {
        std::error_code read_only;
        fs::last_write_time(entry / kHashFile, fs::file_time_type::clock::now(), read_only);
        return CachedArtifact{entry / kArtifactFile, *std::move(meta)};
    }
    std::error_code error;
    if (fs::exists(entry, error)) {
        // Moved aside first: removing in place would let another process see, or publish into, a half-removed entry.
        const TemporaryDirectory grave = scratch();
        fs::rename(entry, grave.path() / "damaged", error);
    }
    return std::nullopt;
}

void ArtifactCache::trim(std::uintmax_t limit_bytes) const {
    std::vector<Entry> entries = list_entries(root_);
    std::uintmax_t bytes = 0;
    for (const Entry& entry : entries)
        bytes += entry.bytes;
    if (bytes <= limit_bytes) return;
    std::ranges::sort(entries, {}, &Entry::last_used);
    const TemporaryDirectory grave = scratch();
    for (const Entry& entry : entries) {
        if (bytes <= limit_bytes / 4 * 3) break;
        std::error_code another_was_quicker;
        fs::rename(entry.path, grave.path() / entry.path.filename(), another_was_quicker);
        bytes -= entry.bytes;
    }
}

CachedArtifact ArtifactCache::publish(std::string_view key, std::span<const std::byte> bytes,
                                      std::string_view meta) const {
    const auto write = [&](const fs::path& staging) -> Result<CachedArtifact> {
        return publish_through(staging / "entry", key, bytes, meta);
    };
    return undisturbed(write).value();
}

CachedArtifact ArtifactCache::publish_through(const fs::path& staged, std::string_view key,
                                              std::span<const std::byte> bytes, std::string_view meta) const {
    const std::string_view artifact(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const fs::path entry = entry_path(key);
    make_directories(staged);
    make_directories(entry.parent_path());
    write_flushed(staged / kArtifactFile, bytes);
    write_flushed(staged / kMetaFile, bytes_of(meta));
    write_flushed(staged / kHashFile, bytes_of(entry_hash(artifact, meta)));
    flush_directory(staged);

    // A taken name is either another process's equal entry, or a damaged one that `lookup` clears away.
    for (int attempt = 0; attempt < 2; ++attempt) {
        std::error_code error;
        fs::rename(staged, entry, error);
        if (!error) {
            flush_directory(entry.parent_path());
            return {entry / kArtifactFile, std::string(meta)};
        }
        if (error != std::errc::directory_not_empty && error != std::errc::file_exists) {
            fail(entry, "publish", error.value());
        }
        if (auto existing = lookup(key)) return *std::move(existing);
    }
    throw EnvironmentError(fmt::format("cache: the entry {} changes under our hands; remove it", entry.string()));
}

CachedArtifact ArtifactCache::publish_file(std::string_view key, const fs::path& file, std::string_view meta) const {
    const auto bytes = read_file(file);
    if (!bytes) fail(file, "read", errno);
    return publish(key, bytes_of(*bytes), meta);
}

}  // namespace attune
