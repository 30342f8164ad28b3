// `attune restore`: the source of any iteration, back as files.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "cli/cli.h"
#include "core/error.h"
#include "store/reader.h"

namespace attune {
namespace {

struct RestoreOptions {
    std::filesystem::path db;
    std::string iteration;
    std::string study;
    std::filesystem::path folder;
    bool force = false;
};

class Descriptor {
  public:
    explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
    ~Descriptor() { (void)close(); }
    Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(descriptor_, other.descriptor_);
        return *this;
    }
    [[nodiscard]] int get() const { return descriptor_; }
    [[nodiscard]] bool close() { return descriptor_ < 0 || ::close(std::exchange(descriptor_, -1)) == 0; }

  private:
    int descriptor_;
};

[[noreturn]] void cannot_write(const std::filesystem::path& path) {
    throw EnvironmentError(
        fmt::format("cannot write {}: {}; choose another folder with --to", path.string(), std::strerror(errno)));
}

/// The parts of a recorded file name. A database may come from anywhere, so a name that leads out of the folder is
/// refused, before anything is written.
std::vector<std::string> parts_of(const std::string& name) {
    std::vector<std::string> parts;
    for (const auto& part : std::filesystem::path(name))
        parts.push_back(part.string());
    const auto leads_out = [](const std::string& part) {
        return part.empty() || part == "." || part == ".." || part == "/";
    };
    if (parts.empty() || std::any_of(parts.begin(), parts.end(), leads_out) || name.find('\0') != std::string::npos) {
        throw InputError(
            fmt::format("the database records a file '{}', which would not lie in the folder; nothing was "
                        "written, do not trust this database",
                        name));
    }
    return parts;
}

/// Walks down without following symbolic links, so that nothing beyond `folder` is reached.
void write_file(const std::filesystem::path& folder, const SourceFile& file) {
    const std::vector<std::string> parts = parts_of(file.name);
    const std::filesystem::path path = folder / file.name;
    Descriptor at(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (std::size_t i = 0; at.get() >= 0 && i + 1 < parts.size(); ++i) {
        if (::mkdirat(at.get(), parts[i].c_str(), 0777) != 0 && errno != EEXIST) cannot_write(path);
        at = Descriptor(::openat(at.get(), parts[i].c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    }
    if (at.get() < 0) cannot_write(path);
    Descriptor out(
        ::openat(at.get(), parts.back().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666));
    if (out.get() < 0) cannot_write(path);
    for (std::size_t done = 0; done < file.text.size();) {
        const ssize_t written = ::write(out.get(), file.text.data() + done, file.text.size() - done);
        if (written < 0) cannot_write(path);
        done += static_cast<std::size_t>(written);
    }
    if (!out.close()) cannot_write(path);
}

void prepare(const RestoreOptions& options) {
    std::error_code error;
    std::filesystem::create_directories(options.folder, error);
    if (error || !std::filesystem::is_directory(options.folder)) {
        throw InputError(fmt::format("--to {} cannot be a folder{}; name another", options.folder.string(),
                                     error ? ": " + error.message() : ""));
    }
    if (!options.force && !std::filesystem::is_empty(options.folder, error)) {
        throw InputError(fmt::format("{} is not empty; name a new folder, or write over its files with --force",
                                     options.folder.string()));
    }
}

void run(const RestoreOptions& options, const CliContext& context) {
    const Reader reader(options.db);
    const IterationKey key = reader.resolve(options.iteration, options.study);
    const std::vector<SourceFile> sources = reader.iteration(key).sources;
    if (sources.empty()) {
        throw InputError(
            fmt::format("iteration {} has no source: it was recorded as crashed without being compiled again",
                        reader.short_name(key)));
    }
    for (const SourceFile& file : sources)
        (void)parts_of(file.name);
    prepare(options);
    for (const SourceFile& file : sources) {
        write_file(options.folder, file);
        context.out << (options.folder / file.name).string() << '\n';
    }
}

}  // namespace

void add_restore(CLI::App& app, const CliContext& context) {
    auto options = std::make_shared<RestoreOptions>();
    options->db = context.default_db;
    CLI::App* command = app.add_subcommand("restore", "the kernel source of any iteration, kept or not");
    command->add_option("iteration", options->iteration, "N, STUDY:N or STUDY@SHARD:N")->required();
    command->add_option("--to", options->folder, "folder to write to; made when missing")->required();
    command->add_option("--study", options->study, "the study of N");
    command->add_flag("--force", options->force, "write into a folder that is not empty");
    command->add_option("--db", options->db, "database")->capture_default_str();
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace attune
