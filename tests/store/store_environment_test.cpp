// A broken environment is one clear line: what, where, what to do. Real locks, real second processes, real full disks.
#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <thread>

#include "core/error.h"
#include "core/message_of.h"
#include "core/temp_folder.h"
#include "store/database.h"
#include "store/reader.h"
#include "store/sample_record.h"

namespace attune {
namespace {

using ::testing::HasSubstr;

/// Runs `work` in a child process; its text is what the child reports, empty when it dies.
template <class Work>
std::string in_child(Work&& work) {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) return "(no pipe)";
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ends[0]);
        const std::string said = work();
        [[maybe_unused]] const ssize_t written = ::write(ends[1], said.data(), said.size());
        ::_exit(0);
    }
    ::close(ends[1]);
    std::string said;
    std::array<char, 4096> buffer{};
    for (ssize_t size = 0; (size = ::read(ends[0], buffer.data(), buffer.size())) > 0;) {
        said.append(buffer.data(), static_cast<std::size_t>(size));
    }
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);
    return said;
}

class StoreEnvironmentTest : public ::testing::Test {
  protected:
    std::filesystem::path db_path() const { return folder.path() / "attune.db"; }
    void fill(const std::filesystem::path& path, int iterations = 1) {
        Store store(path);
        store.open_study(sample_study(), tmpl);
        for (int i = 0; i < iterations; ++i)
            store.finish(sample_record(i), sample_sources(i));
    }
    std::string error_of_opening(const std::filesystem::path& path) {
        return message_of<EnvironmentError>([&] { Store store(path); });
    }
    TempFolder folder;
    KernelTemplate tmpl = sample_template();
};

void expect_one_line(const std::string& message) {
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

TEST_F(StoreEnvironmentTest, ASecondWriterOfAStudyIsRefusedWithTheHoldersPid) {
    Store store(db_path());
    store.open_study(sample_study(), tmpl);
    const std::string said = in_child([&] {
        return message_of<EnvironmentError>([&] {
            Store second(db_path());
            second.open_study(sample_study(), tmpl);
        });
    });
    EXPECT_THAT(
        said, AllOf(HasSubstr(fmt::format("process {} ", ::getpid())), HasSubstr("'flagship'"), HasSubstr("stop it")));
    const std::string other_study = in_child([&] {
        Store second(db_path());
        second.open_study(sample_study("other"), tmpl);
        return std::to_string(second.finish(sample_record(0), {}));
    });
    EXPECT_EQ(other_study, "1") << "another study of the same database is free";
}

TEST_F(StoreEnvironmentTest, TheLockEndsWithItsProcessEvenWhenAChildOutlivesIt) {
    // The child starts a program that stays, as a worker would, and dies without unlocking.
    const std::string survivor = in_child([&] {
        auto* store = new Store(db_path());
        store->open_study(sample_study(), tmpl);
        const pid_t worker = ::fork();
        if (worker == 0) {
            ::close(1);
            const int null = ::open("/dev/null", O_RDWR);
            for (int fd = 0; fd < 3; ++fd)
                ::dup2(null, fd);
            for (int fd = 3; fd < 64; ++fd) {
                if ((::fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0) ::close(fd);  // the test's own pipe
            }
            ::execlp("sleep", "sleep", "30", nullptr);
            ::_exit(1);
        }
        ::usleep(100'000);  // until the program runs, it shares the lock
        return std::to_string(worker);
    });
    Store store(db_path());
    EXPECT_NO_THROW(store.open_study(sample_study(), tmpl));
    ::kill(static_cast<pid_t>(std::stol(survivor)), SIGKILL);
}

TEST_F(StoreEnvironmentTest, ADatabaseLockedByAnotherProgramSaysSo) {
    fill(db_path());
    SQLite::Database other(db_path().string(), SQLite::OPEN_READWRITE);
    other.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    constexpr int kShortWaitMs = 50;
    const std::string said = message_of<EnvironmentError>([&] { (void)open_for_writing(db_path(), kShortWaitMs); });
    EXPECT_THAT(said, AllOf(HasSubstr("locked by another program"), HasSubstr("fuser"), HasSubstr(db_path().string())));
    expect_one_line(said);
}

TEST_F(StoreEnvironmentTest, AWriterWaitsForAnotherStudysCommit) {
    fill(db_path());
    Store store(db_path());
    store.open_study(sample_study(), tmpl);
    SQLite::Database other(db_path().string(), SQLite::OPEN_READWRITE);
    other.exec("BEGIN IMMEDIATE");
    std::thread release([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        other.exec("COMMIT");
    });
    EXPECT_EQ(store.finish(sample_record(1), {}), 2);
    release.join();
}

TEST_F(StoreEnvironmentTest, DamagedFilesAreNamedWithAWayOut) {
    const auto text = folder.write("text.db", std::string(5000, 'x'));
    for (const std::string& said :
         {error_of_opening(text), message_of<EnvironmentError>([&] { Reader reader(text); })}) {
        EXPECT_THAT(said, AllOf(HasSubstr(text.string()), HasSubstr("is no database; name another file"),
                                HasSubstr(".recover")));
        expect_one_line(said);
    }
    EXPECT_EQ(read_file(text), std::string(5000, 'x')) << "and left as they are";

    fill(db_path(), 200);
    std::string bytes = read_file(db_path());
    for (std::size_t at = 8192; at < bytes.size(); ++at)
        bytes[at] = static_cast<char>(at * 7);
    const auto broken = folder.write("broken.db", bytes);
    const std::string said = message_of<EnvironmentError>([&] { (void)Reader(broken).best({}); });
    EXPECT_THAT(said, AllOf(HasSubstr("damaged"), HasSubstr(broken.string())));
}

TEST_F(StoreEnvironmentTest, ANewerDatabaseIsLeftAlone) {
    fill(db_path());
    SQLite::Database(db_path().string(), SQLite::OPEN_READWRITE).exec("PRAGMA user_version = 99");
    const std::string before = read_file(db_path());
    for (const std::string& said :
         {error_of_opening(db_path()), message_of<EnvironmentError>([&] { Reader reader(db_path()); })}) {
        EXPECT_THAT(said, AllOf(HasSubstr("newer attune"), HasSubstr("version 99"), HasSubstr("update attune")));
    }
    EXPECT_EQ(read_file(db_path()), before);
}

TEST_F(StoreEnvironmentTest, AnotherProgramsDatabaseIsLeftAlone) {
    SQLite::Database(db_path().string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec("CREATE TABLE theirs (x)");
    const std::string before = read_file(db_path());
    EXPECT_THAT(error_of_opening(db_path()), AllOf(HasSubstr("another program"), HasSubstr("name another file")));
    EXPECT_THAT(message_of<EnvironmentError>([&] { Reader reader(db_path()); }), HasSubstr("another program"));
    EXPECT_EQ(read_file(db_path()), before);
}

TEST_F(StoreEnvironmentTest, AnOlderDatabaseMigratesWithItsRows) {
    fill(db_path(), 3);
    const int now = schema_version();
    std::vector<Migration> steps(migrations().begin(), migrations().end());
    steps.push_back({now + 1, "ALTER TABLE study ADD COLUMN note TEXT NOT NULL DEFAULT 'none'"});
    steps.push_back({now + 2, "UPDATE study SET note = 'migrated'"});
    SQLite::Database db = open_for_writing(db_path());
    migrate(db, db_path(), steps);
    EXPECT_EQ(db.execAndGet("PRAGMA user_version").getInt(), now + 2);
    EXPECT_EQ(db.execAndGet("SELECT note FROM study").getString(), "migrated");
    EXPECT_EQ(db.execAndGet("SELECT count(*) FROM iterations").getInt(), 3);
    migrate(db, db_path(), steps);  // nothing left to do
    EXPECT_EQ(db.execAndGet("PRAGMA user_version").getInt(), now + 2);
}

TEST_F(StoreEnvironmentTest, AMigrationThatFailsLeavesTheOldVersionWhole) {
    fill(db_path(), 3);
    std::vector<Migration> steps(migrations().begin(), migrations().end());
    steps.push_back({schema_version() + 1, "DELETE FROM case_result; SELECT no_such_function()"});
    SQLite::Database db = open_for_writing(db_path());
    EXPECT_THROW(migrate(db, db_path(), steps), SQLite::Exception);
    EXPECT_EQ(db.execAndGet("PRAGMA user_version").getInt(), schema_version());
    EXPECT_EQ(db.execAndGet("SELECT count(*) FROM case_result").getInt(), 9);
}

TEST_F(StoreEnvironmentTest, VersionOneIsReadAsItIsAndBroughtUpToDateByItsWriter) {
    fill(db_path(), 3);
    make_version_one(db_path());
    SQLite::Database(db_path().string(), SQLite::OPEN_READWRITE)
        .exec("INSERT INTO intent VALUES (1, 'tile_n=32', 'boot', 1, 3, 1000), (1, 'tile_n=64', 'boot', 0, 1, 1001)");
    EXPECT_EQ(Reader(db_path()).iterations("flagship").size(), 3U);
    const auto version = [&] {
        return SQLite::Database(db_path().string()).execAndGet("PRAGMA user_version").getInt();
    };
    EXPECT_EQ(version(), 1) << "a reader changes nothing";

    Store store(db_path());
    store.open_study(sample_study(), sample_template());
    EXPECT_EQ(version(), schema_version());
    EXPECT_EQ(store.iterations().size(), 3U);
    // Its row will say what the shard recorded last, which is as much as version 1 knows.
    const auto intents = store.open_intents();
    ASSERT_EQ(intents.size(), 1U);
    EXPECT_EQ(intents[0].intent.params, "tile_n=32");
    EXPECT_EQ(intents[0].intent.template_hash, sample_record(2).template_hash);
    EXPECT_EQ(intents[0].intent.environment.host, sample_environment().host);
    EXPECT_EQ(intents[0].intent.boot_id, "boot");
    EXPECT_EQ(intents[0].attempts, 3);
}

TEST_F(StoreEnvironmentTest, AnOlderDatabaseCannotBeReadUntilItIsMigrated) {
    {
        SQLite::Database db(db_path().string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
        db.exec("PRAGMA application_id = 1635022190; CREATE TABLE study (name)");  // version 0 of ours
    }
    EXPECT_THAT(message_of<EnvironmentError>([&] { Reader reader(db_path()); }),
                AllOf(HasSubstr("older attune"), HasSubstr("version 0"), HasSubstr("attune tune")));
}

TEST_F(StoreEnvironmentTest, AnEmptyDatabaseIsSaidToBeEmpty) {
    folder.write("empty.db", "");
    SQLite::Database(folder.path() / "blank.db", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec("VACUUM");
    for (const char* file : {"empty.db", "blank.db"}) {
        const std::string said = message_of<InputError>([&] { Reader reader(folder.path() / file); });
        EXPECT_THAT(said, AllOf(HasSubstr("is empty; `attune tune` fills it"), Not(HasSubstr("older attune")))) << file;
    }
}

TEST_F(StoreEnvironmentTest, FoldersThatCannotBeWrittenAreNamed) {
    // Nobody, root included, makes a folder inside /proc or inside a file.
    EXPECT_THAT(error_of_opening("/proc/attune/attune.db"), HasSubstr("/proc/attune"));
    folder.write("file", "");
    EXPECT_THAT(error_of_opening(folder.path() / "file" / "attune.db"), HasSubstr("cannot create the folder"));
    std::filesystem::create_directory(folder.path() / "taken.db");
    for (const std::string& said : {message_of<InputError>([&] { Store store(folder.path() / "taken.db"); }),
                                    message_of<InputError>([&] { Reader reader(folder.path() / "taken.db"); })}) {
        EXPECT_THAT(said, HasSubstr("taken.db is a folder; name the database file in it"));
    }
}

/// What `work` says inside a mount namespace where `folder` is a file system of its own; nothing where that is not
/// allowed.
template <class Work>
std::optional<std::string> on_own_file_system(const std::filesystem::path& folder, const char* options, Work&& work) {
    const std::string said = in_child([&]() -> std::string {
        const bool mounted = ::unshare(CLONE_NEWNS) == 0 &&
                             ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                             ::mount("tmpfs", folder.c_str(), "tmpfs", 0, options) == 0;
        return mounted ? "mounted:" + work() : "";
    });
    if (!said.starts_with("mounted:")) return std::nullopt;
    return said.substr(8);
}

TEST_F(StoreEnvironmentTest, AFullDiskLosesNothingThatWasCommitted) {
    const auto said = on_own_file_system(folder.path(), "size=8m", [&]() -> std::string {
        std::int64_t finished = 0;
        std::string message;
        {
            Store store(db_path());
            store.open_study(sample_study(), tmpl);
            message = message_of<EnvironmentError>([&] {
                for (int i = 0; i < 100'000; ++i)
                    finished = store.finish(sample_record(i), sample_sources(i));
            });
        }
        const auto rows = Reader(db_path()).iterations("flagship");
        const std::string check = SQLite::Database(db_path().string()).execAndGet("PRAGMA integrity_check").getString();
        return fmt::format("{}|{}|{}|{}", message, finished, rows.size(), check);
    });
    if (!said) GTEST_SKIP() << "no mount namespace here; AFileSizeLimit… covers the same path";
    std::vector<std::string> parts;
    for (std::size_t at = 0; at <= said->size();) {
        const std::size_t end = std::min(said->find('|', at), said->size());
        parts.push_back(said->substr(at, end - at));
        at = end + 1;
    }
    ASSERT_EQ(parts.size(), 4U) << *said;
    EXPECT_THAT(parts[0], AllOf(HasSubstr("no space left"), HasSubstr(db_path().string())));
    EXPECT_GT(std::stol(parts[1]), 10);
    EXPECT_EQ(parts[1], parts[2]) << "every finished iteration is there, and no other";
    EXPECT_EQ(parts[3], "ok");
}

TEST_F(StoreEnvironmentTest, AFileSizeLimitLosesNothingThatWasCommitted) {
    const std::string said = in_child([&]() -> std::string {
        Store store(db_path());
        store.open_study(sample_study(), tmpl);
        ::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{1'500'000, 1'500'000};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        std::int64_t finished = 0;
        const std::string message = message_of<EnvironmentError>([&] {
            for (int i = 0; i < 100'000; ++i)
                finished = store.finish(sample_record(i), sample_sources(i));
        });
        return fmt::format("{}|{}", finished, message);
    });
    const std::int64_t finished = std::stol(said);
    EXPECT_GT(finished, 5);
    EXPECT_THAT(said, AllOf(HasSubstr(db_path().string()), HasSubstr("space")));
    const auto rows = Reader(db_path()).iterations("flagship");
    EXPECT_EQ(static_cast<std::int64_t>(rows.size()), finished);
    Store store(db_path());
    store.open_study(sample_study(), tmpl);
    EXPECT_EQ(store.finish(sample_record(0), {}), finished + 1) << "and the study goes on";
}

TEST_F(StoreEnvironmentTest, ATsvThatCannotBeWrittenCostsNoIteration) {
    Store store(db_path());
    store.open_study(sample_study(), tmpl);
    store.finish(sample_record(0), {});
    const auto tsv = store.tsv_path();
    std::filesystem::remove(tsv);
    std::filesystem::create_directory(tsv);  // a rename cannot replace it
    folder.write("flagship/iters.tsv/in-the-way", "");
    EXPECT_EQ(store.finish(sample_record(1), {}), 2);
    const std::string said = message_of<EnvironmentError>([&] { store.sync_tsv(); });
    EXPECT_THAT(said, HasSubstr(tsv.string()));
    expect_one_line(said);
    std::filesystem::remove_all(tsv);
    EXPECT_EQ(store.finish(sample_record(2), {}), 3);
    const std::string text = read_file(tsv);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4) << "repaired with the next iteration";
}

TEST_F(StoreEnvironmentTest, ARowThatCannotBeReadBackForTheTsvCostsNoIteration) {
    Store store(db_path());
    store.open_study(sample_study(), tmpl);
    // Another program alters the file: what an iteration writes is still there, what its line of iters.tsv reads is
    // not.
    SQLite::Database other(db_path().string(), SQLite::OPEN_READWRITE);
    other.exec("ALTER TABLE shard RENAME COLUMN uid TO renamed");
    EXPECT_EQ(store.finish(sample_record(0), {}), 1);
    other.exec("ALTER TABLE shard RENAME COLUMN renamed TO uid");
    EXPECT_EQ(store.finish(sample_record(1), {}), 2);
    const std::string text = read_file(store.tsv_path());
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3) << "repaired with the next iteration";
}

TEST_F(StoreEnvironmentTest, ReadsFromReadOnlyMedia) {
    const auto said = on_own_file_system(folder.path(), "size=8m", [&]() -> std::string {
        fill(db_path(), 5);
        if (::mount(nullptr, folder.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) return "no remount";
        const std::size_t rows = Reader(db_path()).iterations("").size();
        const std::string message = message_of<EnvironmentError>([&] { fill(db_path()); });
        return fmt::format("{} {}", rows, message);
    });
    if (!said || *said == "no remount") GTEST_SKIP() << "no mount namespace here";
    EXPECT_THAT(*said, ::testing::StartsWith("5 "));
    EXPECT_THAT(*said, HasSubstr("permissions"));
}

}  // namespace
}  // namespace attune
