// attune: options in, one command out. The environment is read here, and exceptions are caught here, once.

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <new>
#include <system_error>

#include "cli/cli.h"
#include "cli/share.h"
#include "cli/usage.h"
#include "core/error.h"
#include "version.h"

namespace {

constexpr int kFailed = 1;
constexpr int kBadInput = 2;
constexpr int kEnvironment = 3;

/// Makes usual what a daemon, a supervisor or a shell may have left otherwise.
void settle_process() {
    // The first files and sockets opened would take the place of closed standard streams, and get what is written to
    // them. Open for reading only, these refuse it as closed ones do.
    int null = -1;
    do {
        null = ::open("/dev/null", O_RDONLY);
    } while (null >= 0 && null <= STDERR_FILENO);
    ::close(null);
    // While it is ignored, nobody can learn how a child ended.
    ::signal(SIGCHLD, SIG_DFL);
    ::signal(SIGPIPE, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string() : std::string(value);
}

int terminal_width() {
    winsize size{};
    return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::filesystem::path cache_dir() {
    if (const std::string own = environment("ATTUNE_CACHE"); !own.empty()) return own;
    if (const std::string xdg = environment("XDG_CACHE_HOME"); !xdg.empty())
        return std::filesystem::path(xdg) / "attune";
    if (const std::string home = environment("HOME"); !home.empty())
        return std::filesystem::path(home) / ".cache/attune";
    return std::filesystem::temp_directory_path() / fmt::format("attune-cache-{}", ::getuid());
}

attune::CliContext surroundings() {
    const bool out_is_terminal = ::isatty(STDOUT_FILENO) == 1;
    attune::CliContext context{std::cout, std::cerr};
    context.color = out_is_terminal && environment("NO_COLOR").empty();
    context.out_is_terminal = out_is_terminal;
    context.err_is_terminal = ::isatty(STDERR_FILENO) == 1;
    context.width_columns = terminal_width();
    context.executable = "/proc/self/exe";  // also when the file is replaced or removed under a running study
    context.share_dir =
        attune::find_share_dir(std::filesystem::read_symlink(context.executable), environment("ATTUNE_SHARE"));
    context.cache_dir = cache_dir();
    const std::string database = environment("ATTUNE_DB");
    context.default_db = database.empty() ? "results/attune.db" : database;
    context.nvrtc_path = environment("ATTUNE_NVRTC");
    context.home = environment("HOME");
    context.cxx = environment("CXX");
    return context;
}

int complain(int code, std::string_view what) {
    std::cerr << "attune: " << what << '\n';
    return code;
}

int run(int argc, char** argv) {
    const attune::CliContext context = surroundings();
    CLI::App app("attune tunes block-sparse attention kernels: it compiles, checks, times, and keeps what is faster.",
                 "attune");
    app.set_version_flag("--version", attune::version_text());
    app.require_subcommand(1);
    app.failure_message(nullptr);  // usage_error says more
    attune::add_commands(app, context);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (app.exit(error) == 0) return 0;  // --help, --version
        if (argc > 1) return complain(kBadInput, attune::usage_error(app, error));
        std::cerr << attune::kFirstSteps;
        return kBadInput;
    }
    std::cout.flush();
    return std::cout.good() ? 0 : complain(kEnvironment, "cannot write to stdout; check the disk or pipe it goes to");
}

}  // namespace

int main(int argc, char** argv) {
    settle_process();
    try {
        return run(argc, argv);
    } catch (const attune::CommandExit& exit) {
        return exit.code;
    } catch (const attune::InputError& error) {
        return complain(kBadInput, error.what());
    } catch (const attune::EnvironmentError& error) {
        return complain(kEnvironment, error.what());
    } catch (const std::system_error& error) {
        return complain(kEnvironment, error.what());
    } catch (const std::bad_alloc&) {
        return complain(kEnvironment, "no memory is left; free some, or raise the limit (ulimit -v)");
    } catch (const std::exception& error) {
        return complain(kFailed, fmt::format("internal error: {}", error.what()));
    }
}
