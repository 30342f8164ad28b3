#include "store/lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace attune {
namespace {

std::string read_holder(int descriptor) {
    std::array<char, 128> text{};
    const ssize_t size = ::pread(descriptor, text.data(), text.size(), 0);
    std::string holder(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    while (!holder.empty() && holder.back() == '\n')
        holder.pop_back();
    return holder.empty() ? "another process" : holder;
}

}  // namespace

std::string host_name() {
    std::array<char, HOST_NAME_MAX + 1> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string("unknown");
}

StudyLock::StudyLock(const std::filesystem::path& file, const std::string& study) {
    const std::string path = file.string();
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor_ < 0) {
        throw EnvironmentError(
            fmt::format("cannot open {}: {}; check the permissions of that folder", path, std::strerror(errno)));
    }
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
        const int reason = errno;
        const std::string holder = read_holder(descriptor_);
        ::close(std::exchange(descriptor_, -1));
        if (reason != EWOULDBLOCK) {
            throw EnvironmentError(fmt::format("cannot lock {}: {}; put the results on a file system with locks", path,
                                               std::strerror(reason)));
        }
        throw EnvironmentError(
            fmt::format("study '{}' is being written by {} ({}); wait for it or stop it", study, holder, path));
    }
    // Only for the message of whoever comes second, so a full disk is no reason to fail.
    const std::string holder = fmt::format("process {} on {}\n", ::getpid(), host_name());
    [[maybe_unused]] const bool told =
        ::ftruncate(descriptor_, 0) == 0 && ::pwrite(descriptor_, holder.data(), holder.size(), 0) > 0;
}

StudyLock::~StudyLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

StudyLock::StudyLock(StudyLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

StudyLock& StudyLock::operator=(StudyLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
}

}  // namespace attune
