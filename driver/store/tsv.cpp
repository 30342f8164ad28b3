#include "store/tsv.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>

#include "core/error.h"
#include "store/record_writer.h"

namespace attune {
namespace {

class Descriptor {
  public:
    explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
    ~Descriptor() {
        if (descriptor_ >= 0) ::close(descriptor_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int get() const { return descriptor_; }

  private:
    int descriptor_;
};

std::string or_dash(const std::string& text) {
    return text.empty() ? "-" : text;
}

}  // namespace

std::string format_ms(std::optional<double> value_ms, bool sign) {
    if (!value_ms || !std::isfinite(*value_ms)) return "-";
    return sign ? fmt::format("{:+.6f}", *value_ms) : fmt::format("{:.6f}", *value_ms);
}

std::string tsv_line(const IterationRow& row) {
    return fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n", row.iter, format_ms(row.geomean_ms),
                       format_ms(row.delta_ms, true), format_ms(row.family_ms[0]), format_ms(row.family_ms[1]),
                       format_ms(row.family_ms[2]), to_string(row.status), or_dash(one_line(row.params)),
                       or_dash(one_line(row.description)));
}

void TsvFile::sync(const TsvLines& lines) {
    if (!matches(lines)) {
        rewrite(lines);
    } else {
        std::error_code ignored;
        std::filesystem::remove(fresh_path(), ignored);  // of a coordinator that was killed while it wrote
    }
    std::error_code error;
    size_ = static_cast<std::int64_t>(std::filesystem::file_size(path_, error));
    if (error) size_ = -1;
}

bool TsvFile::append(const std::string& line) {
    const Descriptor file(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    struct stat status {};
    if (file.get() < 0 || ::fstat(file.get(), &status) != 0 || status.st_size != size_) return false;
    const auto written = ::write(file.get(), line.data(), line.size());
    if (written != static_cast<ssize_t>(line.size())) {
        size_ = -1;  // torn: the next append is refused, and the sync that follows repairs it
        throw EnvironmentError(fmt::format("cannot append to {}: {}; free some space", path_.string(),
                                           std::strerror(written < 0 ? errno : ENOSPC)));
    }
    size_ += written;
    return true;
}

bool TsvFile::matches(const TsvLines& lines) const {
    std::ifstream file(path_, std::ios::binary);
    if (!file) return false;
    bool same = true;
    std::string found;
    const auto compare = [&](std::string_view expected) {
        if (!same) return;
        found.resize(expected.size());
        file.read(found.data(), static_cast<std::streamsize>(found.size()));
        same = file.gcount() == static_cast<std::streamsize>(expected.size()) && found == expected;
    };
    compare(kTsvHeader);
    lines([&](const std::string& line) { compare(line); });
    return same && file.peek() == std::ifstream::traits_type::eof();
}

void TsvFile::rewrite(const TsvLines& lines) {
    const std::filesystem::path fresh = fresh_path();
    errno = 0;
    std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
    file << kTsvHeader;
    lines([&](const std::string& line) { file << line; });
    file.close();
    std::error_code error;
    if (file) std::filesystem::rename(fresh, path_, error);
    if (!file || error) {
        const std::string reason = error ? error.message() : std::strerror(errno);
        std::filesystem::remove(fresh, error);
        throw EnvironmentError(
            fmt::format("cannot write {}: {}; check the space and permissions of its folder", path_.string(), reason));
    }
}

}  // namespace attune
