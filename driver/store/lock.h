// One writer per study.
#pragma once

#include <filesystem>
#include <string>

namespace attune {

/// Holds a lock file for as long as it lives; the kernel lets go when the process dies, however it dies. Not inherited
/// by child programs.
class StudyLock {
  public:
    StudyLock() = default;
    /// EnvironmentError naming the holder when another process has it, or when its folder cannot be written.
    StudyLock(const std::filesystem::path& file, const std::string& study);
    ~StudyLock();
    StudyLock(StudyLock&& other) noexcept;
    StudyLock& operator=(StudyLock&& other) noexcept;

  private:
    int descriptor_ = -1;
};

/// This machine's name.
[[nodiscard]] std::string host_name();

}  // namespace attune
