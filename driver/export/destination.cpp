#include "export/destination.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "core/error.h"
#include "export/package.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

EnvironmentError cannot(std::string_view what, const fs::path& path, const std::error_code& error) {
    return EnvironmentError(
        fmt::format("cannot {} {}: {}; free space or choose another --to", what, path.string(), error.message()));
}

std::error_code last_error() {
    return {errno, std::generic_category()};
}

void make_folders(const fs::path& folder) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) throw cannot("make", folder, error);
}

/// Owns a folder beside what is to be replaced, on the same file system.
class Staging {
  public:
    explicit Staging(const fs::path& parent) {
        std::string name = (parent / ".attune-export-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw cannot("make a folder in", parent, last_error());
        path_ = name;
    }
    ~Staging() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    Staging(const Staging&) = delete;
    Staging& operator=(const Staging&) = delete;
    [[nodiscard]] const fs::path& path() const { return path_; }

  private:
    fs::path path_;
};

/// Once what is at `path` has a name that counts, a power failure may not leave it empty.
void flush(const fs::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const bool flushed = descriptor >= 0 && ::syncfs(descriptor) == 0;
    const std::error_code error = last_error();
    if (descriptor >= 0) ::close(descriptor);
    if (!flushed) throw cannot("flush", path, error);
}

bool is_package(const fs::path& folder) {
    std::ifstream manifest(folder / kManifestFile);
    const auto content = nlohmann::json::parse(manifest, nullptr, false);
    return content.is_object() && content.value("format", nlohmann::json()) == "attune-package";
}

/// Moves `staged` to `place`; what was there goes to `replaced`.
std::error_code exchange(const fs::path& staged, const fs::path& place, const fs::path& replaced) {
    std::error_code error;
    if (fs::exists(place, error)) {
        if (::renameat2(AT_FDCWD, staged.c_str(), AT_FDCWD, place.c_str(), RENAME_EXCHANGE) == 0) return {};
        const std::error_code reason = last_error();
        // NFS and some others have no exchange.
        if (reason != std::errc::invalid_argument && reason != std::errc::function_not_supported) return reason;
        fs::rename(place, replaced, error);
        if (error) return error;
    }
    fs::rename(staged, place, error);
    std::error_code was_nothing_there;
    if (error) fs::rename(replaced, place, was_nothing_there);
    return error;
}

}  // namespace

fs::path package_place(const fs::path& folder, bool replace) {
    std::error_code error;
    fs::path place = fs::weakly_canonical(fs::absolute(folder), error);
    if (error) throw cannot("follow", folder, error);
    if (!place.has_filename()) place = place.parent_path();  // it was written with a slash at its end
    const auto refuse = [&](std::string_view what) {
        return InputError(fmt::format("--to {} {}", folder.string(), what));
    };
    const fs::file_status status = fs::symlink_status(place, error);
    if (fs::is_symlink(status)) throw refuse("is a link to nothing; name a folder");
    if (fs::exists(status)) {
        if (!fs::is_directory(status)) throw refuse("is a file; name a folder");
        if (!fs::is_empty(place, error)) {
            if (error) throw cannot("read", place, error);
            if (!is_package(place)) throw refuse("is not empty and no package; name a new folder");
            if (!replace) throw refuse("holds a package; name a new folder, or replace it with --force");
        }
        if (fs::equivalent(place, fs::current_path(error), error)) {
            throw refuse("is the current folder, which cannot be replaced from within; name a folder in it");
        }
    }
    fs::path above = place.parent_path();
    while (!fs::exists(above, error) && above.has_relative_path())
        above = above.parent_path();
    if (!fs::is_directory(above, error)) throw refuse(fmt::format("lies in {}, which is a file", above.string()));
    if (::access(above.c_str(), W_OK | X_OK) != 0) throw cannot("write to", above, last_error());
    return place;
}

void publish_package(const fs::path& package, const fs::path& place, bool replace) {
    make_folders(place.parent_path());
    const Staging staging(place.parent_path());
    const fs::path staged = staging.path() / "package";
    std::error_code error;
    fs::copy(package, staged, fs::copy_options::recursive, error);
    if (error) throw cannot("write to", staging.path(), error);
    flush(staged);
    // Somebody may have put something there while the package was made.
    static_cast<void>(package_place(place, replace));
    if (const std::error_code reason = exchange(staged, place, staging.path() / "replaced")) {
        throw cannot("put the package at", place, reason);
    }
}

void publish_file(std::string_view text, const fs::path& file) {
    make_folders(file.parent_path());
    const Staging staging(file.parent_path());
    const fs::path staged = staging.path() / file.filename();
    write_file(staged, text);
    flush(staged);
    std::error_code error;
    fs::rename(staged, file, error);
    if (error) throw cannot("write", file, error);
}

void write_file(const fs::path& path, std::string_view bytes) {
    std::ofstream file(path, std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush()) throw cannot("write", path, last_error());
}

}  // namespace attune
