// `attune report`: the morning page.

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <optional>
#include <thread>

#include "backend/artifact_cache.h"
#include "backend/cpu/command.h"
#include "cli/cli.h"
#include "cli/signals.h"
#include "cli/usage.h"
#include "core/error.h"
#include "report/report.h"
#include "version.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

constexpr int kStoppedBySignal = 130;
constexpr int kNotFound = 127;  // of timeout(1): there is no such program
constexpr int kRefresh_s = 15;
constexpr auto kLookEvery = std::chrono::seconds(2);

struct ReportCommand {
    fs::path db;
    fs::path file;
    fs::path png;
    std::string study;
    bool watch = false;
};

void write_page(const ReportCommand& command, const std::string& page) {
    if (fs::is_directory(command.file))
        throw InputError(fmt::format("--to {0} is a folder; name a file, {0}/report.html say", command.file.string()));
    const fs::path temporary = command.file.string() + fmt::format(".{}", ::getpid());
    std::error_code error;
    if (command.file.has_parent_path()) fs::create_directories(command.file.parent_path(), error);
    errno = 0;
    std::ofstream out(temporary, std::ios::binary);
    out << page;
    if (out.flush()) fs::rename(temporary, command.file, error);
    if (!out || error) {
        const std::string reason = error ? error.message() : std::strerror(errno);
        fs::remove(temporary, error);
        throw EnvironmentError(fmt::format("cannot write {}: {}; choose another --to", command.file.string(), reason));
    }
}

void make_report(const ReportCommand& command, const CliContext& context) {
    ReportOptions options;
    options.study = command.study;
    options.attune_version = kVersion;
    options.db_option = db_option(command.db, context);
    options.generated_at = fmt::format("{:%Y-%m-%d %H:%M}", fmt::localtime(std::time(nullptr)));
    options.refresh_s = command.watch ? kRefresh_s : 0;
    write_page(command, report_html(Reader(command.db), options));
}

/// The chart alone, through whichever Chromium there is.
void make_png(const ReportCommand& command) {
    const fs::path png = fs::absolute(command.png);
    const TemporaryDirectory profile = TemporaryDirectory::make(fs::temp_directory_path());
    for (const char* browser : {"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}) {
        const cpu::CommandResult result = cpu::run_command(
            {"timeout", "60", browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             "--user-data-dir=" + profile.path().string(), "--window-size=1200,640", "--screenshot=" + png.string(),
             "file://" + fs::absolute(command.file).string() + "#chart"},
            profile.path());
        if (result.exit_code == kNotFound) continue;
        if (result.exit_code == 0 && fs::exists(png)) return;
        const std::size_t start = result.output.find_first_not_of('\n');
        throw EnvironmentError(fmt::format("--png: {} did not render the page: {}", browser,
                                           start == std::string::npos
                                               ? "it ended without a word"
                                               : result.output.substr(start, result.output.find('\n', start) - start)));
    }
    throw EnvironmentError(
        "--png needs Chromium to draw with, and there is none: install it (apt-get install chromium)");
}

fs::file_time_type last_change(const fs::path& database) {
    std::error_code error;
    fs::file_time_type latest = fs::last_write_time(database, error);
    const fs::file_time_type log = fs::last_write_time(database.string() + "-wal", error);
    return error ? latest : std::max(latest, log);
}

void watch(const ReportCommand& command, const CliContext& context) {
    const StopSignals signals;
    fs::file_time_type seen = last_change(command.db);
    context.err << fmt::format("rewriting {} whenever the study grows; stop with Ctrl-C\n", command.file.string());
    while (!signals.flag()) {
        const auto next_look = std::chrono::steady_clock::now() + kLookEvery;
        while (!signals.flag() && std::chrono::steady_clock::now() < next_look)
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        const fs::file_time_type now = last_change(command.db);
        if (now == seen) continue;
        seen = now;
        make_report(command, context);
    }
    throw CommandExit{kStoppedBySignal};
}

void run(ReportCommand command, const CliContext& context) {
    std::optional<TemporaryDirectory> unnamed;
    if (command.file.empty()) {
        if (command.png.empty() || command.watch) throw InputError("say where the page goes: --to FILE.html");
        unnamed = TemporaryDirectory::make(fs::temp_directory_path());
        command.file = unnamed->path() / "page.html";
    }
    make_report(command, context);
    if (!unnamed) context.out << command.file.string() << '\n';
    if (!command.png.empty()) {
        make_png(command);
        context.out << command.png.string() << '\n';
    }
    context.out.flush();
    if (command.watch) watch(command, context);
}

}  // namespace

void add_report(CLI::App& app, const CliContext& context) {
    auto options = std::make_shared<ReportCommand>();
    options->db = context.default_db;
    CLI::App* command = app.add_subcommand("report", "the morning page: one HTML file that opens offline");
    command->add_option("--to", options->file,
                        "file to write, its folder made when missing; may be left out with --png");
    command->add_option("--study", options->study, "which study, when the database holds several");
    command->add_flag("--watch", options->watch, "rewrite it as the study grows; the page reloads itself");
    command->add_option("--png", options->png, "also draw the chart into this file, with Chromium");
    command->add_option("--db", options->db, "the database")->capture_default_str();
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace attune
