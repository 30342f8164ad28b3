// Whatever dies, and whenever, the record stays whole and nothing stays behind: the built program on a real template,
// killed by real signals.
//
// ATTUNE_KILLS sets how often the coordinator is killed (30 unless set), ATTUNE_SEED the instants.

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "faults/under_fire.h"

namespace attune {
namespace {

using std::chrono::milliseconds;
using testing::Ended;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Program;
using testing::Workshop;

constexpr int kInput = 2, kEnvironment = 3;

class DeathTest : public testing::StudyUnderFire {
  protected:
    DeathTest() : StudyUnderFire("healthy", "cpu", 16) { workshop_.warm_cache(); }
    /// How a run ends whose workers of a role are killed once no other can be started: that takes a descriptor to speak
    /// to it, and there are no more.
    Ended end_without_workers(const char* role) {
        Program program = workshop_.start(tune());
        await_iterations(program, 2);
        const rlimit no_more{3, 3};
        EXPECT_EQ(::prlimit(program.pid(), RLIMIT_NOFILE, &no_more, nullptr), 0);
        for (const pid_t worker : workshop_.processes(role))
            ::kill(worker, SIGKILL);
        return program.wait();
    }
};

TEST_F(DeathTest, ACoordinatorKilledAtRandomInstantsLosesNothing) {
    survive_kills(testing::number_from("ATTUNE_KILLS", 30));
}

TEST_F(DeathTest, ACoordinatorKilledWhileItCompilesLeavesNoCompilerBehind) {
    Program program = workshop_.start({"tune", testing::data("cpu_faults.json"), "--device", "cpu"});
    // The endless compile is the third candidate: its compiler proper is a grandchild of the coordinator.
    while (workshop_.processes("cc1plus").empty())
        ASSERT_TRUE(program.runs_for(milliseconds(5))) << program.wait().err;
    program.signal(SIGKILL);
    (void)program.wait();
    EXPECT_TRUE(workshop_.is_deserted());
}

TEST_F(DeathTest, WorkersKilledAtRandomInstantsCostTheirCandidateOnly) {
    Program program = workshop_.start(tune());
    int kills = 0, last_recorded = 0;
    while (program.runs_for(random_time(milliseconds(100)))) {
        // Some progress between two kills: a device that never works for long is given up, and rightly.
        if (recorded() == last_recorded) continue;
        const auto workers = workshop_.processes(std::string(" worker ") + (random_() % 2 == 0 ? "device" : "compile"));
        if (workers.empty()) continue;
        ::kill(workers[random_() % workers.size()], SIGKILL);
        last_recorded = recorded();
        ++kills;
    }
    const Ended ended = program.wait();
    ASSERT_EQ(ended.code, 0) << ended.err << "seed " << seed_;
    EXPECT_GT(kills, 0);
    EXPECT_EQ(count("count(*) FROM iterations WHERE status = 'crash' AND diagnostics NOT LIKE '%killed by signal 9%'"),
              0);
    EXPECT_LE(count("count(*) FROM iterations WHERE status = 'crash'"), kills);
    expect_it_completes();
}

TEST_F(DeathTest, AStopIsSoonAndLeavesAStudyThatGoesOn) {
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        Program program = workshop_.start(tune());
        await_iterations(program, recorded() + 2);
        program.signal(number);
        EXPECT_EQ(program.wait().code, 130);
        EXPECT_TRUE(workshop_.is_deserted());
    }
    expect_it_completes();
}

TEST_F(DeathTest, AStopOfEveryProcessOfTheJobCostsNoCandidate) {
    Program program = workshop_.start(tune());
    await_iterations(program, 2);
    // As a scheduler does it; the coordinator is told last, so that what the workers make of it would be on record.
    for (const pid_t worker : workshop_.processes(" worker "))
        ::kill(worker, SIGTERM);
    await_iterations(program, recorded() + 1);
    for (const pid_t process : workshop_.processes())
        ::kill(process, SIGTERM);
    EXPECT_EQ(program.wait().code, 130);
    EXPECT_TRUE(workshop_.is_deserted());
    expect_it_completes();
    EXPECT_EQ(count("count(*) FROM iteration WHERE status = 'crash'"), 0);
}

// What a scheduler does to a job whose time is over, with less patience than it says.
TEST_F(DeathTest, AStopCutShortByAKillLosesNothing) {
    for (int kill = 0; kill < 5; ++kill) {  // a candidate that is interrupted more often has its row
        Program program = workshop_.start(tune());
        if (!program.runs_for(milliseconds(200) + random_time(milliseconds(600)))) break;
        program.signal(SIGTERM);
        if (program.runs_for(random_time(milliseconds(20)))) program.signal(SIGKILL);
        const Ended ended = program.wait();
        EXPECT_TRUE(ended.signal != 0 || ended.code == 130 || ended.code == 0) << ended.err << "seed " << seed_;
        EXPECT_TRUE(workshop_.is_deserted());
    }
    expect_it_completes();
    EXPECT_EQ(count("count(*) FROM iteration WHERE status = 'crash'"), 0);
}

// Supervisors and daemons start programs so.
TEST_F(DeathTest, IgnoredAndBlockedSignalsOfAParentChangeNothing) {
    Program program = workshop_.start(tune(), [] {
        for (const int number : {SIGCHLD, SIGPIPE})
            ::signal(number, SIG_IGN);
        sigset_t all;
        ::sigfillset(&all);
        ::sigprocmask(SIG_SETMASK, &all, nullptr);
    });
    await_iterations(program, 2);
    for (const pid_t worker : workshop_.processes(" worker device"))
        ::kill(worker, SIGKILL);
    await_iterations(program, recorded() + 2);
    program.signal(SIGTERM);
    EXPECT_EQ(program.wait().code, 130);
    EXPECT_EQ(count("count(*) FROM iterations WHERE status = 'crash' AND diagnostics NOT LIKE '%killed by signal 9%'"),
              0);
    expect_it_completes();
}

TEST_F(DeathTest, ClosedStandardStreamsAreTakenByNothing) {
    const Ended ended = workshop_.run(tune(), [] {
        for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
            ::close(descriptor);
    });
    EXPECT_EQ(ended.code, 0);
    EXPECT_EQ(count("count(*) FROM iteration WHERE status = 'crash'"), 0);
    expect_it_completes();
}

TEST_F(DeathTest, DataThatHasNowhereToGoIsNoSuccess) {
    ASSERT_EQ(workshop_.run({"tune", testing::data("healthy.json"), "--device", "cpu", "--max-iters", "1"}).code, 0);
    const Ended ended = workshop_.run({"query"}, [] { ::close(STDOUT_FILENO); });
    EXPECT_EQ(ended.code, kEnvironment);
    EXPECT_THAT(ended.err, HasSubstr("cannot write to stdout"));
}

TEST_F(DeathTest, AClosedPipeEndsNothing) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    Program program = workshop_.start(tune(), [&] {
        ::dup2(ends[1], STDERR_FILENO);
        ::close(ends[0]);
        ::close(ends[1]);
    });
    ::close(ends[1]);
    ::close(ends[0]);  // nobody reads the progress
    EXPECT_EQ(program.wait().code, 0);
    expect_it_completes();
}

TEST_F(DeathTest, ACacheDeletedUnderARunningStudyIsFilledAgain) {
    Program program = workshop_.start(tune());
    await_iterations(program, 2);
    for (int i = 0; i < 3 && program.runs_for(milliseconds(300)); ++i) {
        if (!std::filesystem::exists(workshop_.cache())) continue;
        std::filesystem::rename(workshop_.cache(), workshop_.path(fmt::format("gone-{}", i)));
    }
    const Ended ended = program.wait();
    ASSERT_EQ(ended.code, 0) << ended.err;
    EXPECT_EQ(count("count(*) FROM iteration WHERE status = 'crash'"), 0) << ended.err;
    expect_it_completes();
}

TEST_F(DeathTest, ACorruptedCacheIsNoticedAndMended) {
    ASSERT_EQ(workshop_.run({"tune", testing::data("healthy.json"), "--device", "cpu", "--max-iters", "6"}).code, 0);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(workshop_.cache())) {
        if (entry.path().filename() != "artifact") continue;
        std::filesystem::resize_file(entry.path(), std::filesystem::file_size(entry.path()) / 2);
    }
    expect_it_completes();
    EXPECT_EQ(count("count(*) FROM iteration WHERE status = 'crash'"), 0);
}

TEST_F(DeathTest, ADatabaseLockedForAWhileIsWaitedFor) {
    Program program = workshop_.start(tune());
    await_iterations(program, 2);
    {
        SQLite::Database db(workshop_.database().string(), SQLite::OPEN_READWRITE, 30'000);
        db.exec("BEGIN IMMEDIATE");
        std::this_thread::sleep_for(std::chrono::seconds(3));
        db.exec("ROLLBACK");
    }
    const Ended ended = program.wait();
    ASSERT_EQ(ended.code, 0) << ended.err;
    expect_it_completes();
}

TEST_F(DeathTest, ADatabaseLockedForGoodEndsTheRunWithItsName) {
    Program program = workshop_.start(tune());
    await_iterations(program, 2);
    {
        SQLite::Database db(workshop_.database().string(), SQLite::OPEN_READWRITE, 30'000);
        db.exec("BEGIN IMMEDIATE");
        const Ended ended = program.wait();
        EXPECT_EQ(ended.code, kEnvironment);
        EXPECT_THAT(ended.err, HasSubstr("is locked by another program"));
        db.exec("ROLLBACK");
    }
    expect_it_completes();
}

TEST_F(DeathTest, ASecondCoordinatorIsRefusedByTheNameOfTheFirst) {
    Program program = workshop_.start(tune());
    await_iterations(program, 1);
    const Ended second = Program({ATTUNE_BINARY, "tune", testing::data("healthy.json"), "--device", "cpu"},
                                 workshop_.environment(), workshop_.path("second.txt"))
                             .wait();
    EXPECT_EQ(second.code, kEnvironment);
    EXPECT_THAT(second.err, HasSubstr(fmt::format("process {}", program.pid())));
    EXPECT_EQ(program.wait().code, 0);
    expect_it_completes();
}

TEST_F(DeathTest, AFullDiskEndsTheRunAndTheNextOneGoesOn) {
    // A file-size limit stands in for the disk: writes fail as they do on a full one, for any user.
    ASSERT_EQ(workshop_.run({"tune", testing::data("healthy.json"), "--device", "cpu", "--max-iters", "2"}).code, 0);
    const auto size = static_cast<rlim_t>(std::filesystem::file_size(workshop_.database()));
    const Ended ended = workshop_.run(tune(), [size] {
        ::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{size + 20'000, RLIM_INFINITY};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    });
    EXPECT_EQ(ended.code, kEnvironment) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("attune.db"));
    EXPECT_TRUE(workshop_.is_deserted());
    expect_it_completes();
}

TEST_F(DeathTest, ATrulyFullFileSystemEndsTheRunAndTheNextOneGoesOn) {
    const auto disk = workshop_.path("results");
    std::filesystem::create_directories(disk);
    if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=400k") != 0)
        GTEST_SKIP() << "mounting a small tmpfs needs root";
    const Ended ended = workshop_.run(tune());
    EXPECT_EQ(ended.code, kEnvironment) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("no space left"));
    EXPECT_TRUE(workshop_.is_deserted());
    const int before = recorded();
    EXPECT_EQ(::mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=40m"), 0);
    expect_it_completes();
    EXPECT_LT(before, candidates_);
    ::umount2(disk.c_str(), MNT_DETACH);
}

#if defined(ATTUNE_JUMPING_CLOCK) && !defined(__SANITIZE_ADDRESS__)  // whose runtime wants to be preloaded first
TEST_F(DeathTest, AClockThatJumpsChangesNothing) {
    const auto jumping = [] { ::setenv("LD_PRELOAD", ATTUNE_JUMPING_CLOCK, 1); };
    Program program = workshop_.start(tune(), jumping);
    await_iterations(program, 5);
    program.signal(SIGKILL);
    (void)program.wait();
    const Ended ended = workshop_.run(tune(), jumping);
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_EQ(recorded(), candidates_);
    EXPECT_EQ(count("count(*) FROM iterations WHERE status = 'crash'"), 0);
    EXPECT_GT(count("(max(finished_us) - min(finished_us)) / 1000000 / 3600 FROM iteration"), 24 * 365);  // it did jump
    expect_it_completes();
}
#endif

TEST_F(DeathTest, AProgramReplacedUnderARunningStudyChangesNothing) {
    const auto copy = workshop_.path("attune");
    std::filesystem::copy_file(ATTUNE_BINARY, copy);
    auto words = tune();
    words.insert(words.begin(), copy.string());
    Program program(words, workshop_.environment(), workshop_.path("log.txt"));
    await_iterations(program, 2);
    std::filesystem::remove(copy);
    for (const pid_t worker : workshop_.processes(" worker "))
        ::kill(worker, SIGKILL);
    const Ended ended = program.wait();
    ASSERT_EQ(ended.code, 0) << ended.err;
    EXPECT_LE(count("count(*) FROM iterations WHERE status = 'crash'"), 2);  // of each worker's candidate
    expect_it_completes();
}

TEST_F(DeathTest, ADeviceThatDoesNotComeBackEndsTheRunWithItsReason) {
    const Ended ended = end_without_workers(" worker device");
    EXPECT_EQ(ended.code, kEnvironment) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("gave up after 4 starts"));
    EXPECT_TRUE(workshop_.is_deserted());
    expect_it_completes();
}

TEST_F(DeathTest, ACompileWorkerThatCannotBeStartedEndsTheRunWithTheReason) {
    const Ended ended = end_without_workers(" worker compile");
    EXPECT_EQ(ended.code, kEnvironment) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("attune: cannot start a worker: "));
    EXPECT_TRUE(workshop_.is_deserted());
    EXPECT_GE(recorded(), 2);
    expect_it_completes();
}

TEST_F(DeathTest, AMachineWithNoRoomForThreadsIsSaid) {
    const Ended ended = workshop_.run(tune(), [] {
        const rlimit endless_stacks{rlim_t{1} << 46U, RLIM_INFINITY};
        ::setrlimit(RLIMIT_STACK, &endless_stacks);
    });
    EXPECT_EQ(ended.code, kEnvironment) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("cannot start a thread"));
    EXPECT_TRUE(workshop_.is_deserted());
    expect_it_completes();
}

TEST_F(DeathTest, AFolderThatCannotBeWrittenIsSaidBeforeAnythingStarts) {
    const auto folder = workshop_.path("results");
    std::filesystem::create_directories(folder);
    // Permissions stop everybody but root, whom a file system mounted for reading stops.
    const bool is_root = ::geteuid() == 0;
    if (is_root && ::mount("tmpfs", folder.c_str(), "tmpfs", MS_RDONLY, "") != 0)
        GTEST_SKIP() << "root without the right to mount writes everywhere";
    if (!is_root) ::chmod(folder.c_str(), 0555);
    const Ended ended = workshop_.run(tune());
    EXPECT_EQ(ended.code, kEnvironment) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr(folder.string()));
    EXPECT_THAT(ended.err, HasSubstr("permissions"));
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
    if (is_root) ::umount2(folder.c_str(), MNT_DETACH);
    ::chmod(folder.c_str(), 0755);
    expect_it_completes();
}

TEST_F(DeathTest, AWrongStudyWritesNothing) {
    std::filesystem::remove_all(workshop_.cache());
    std::filesystem::remove_all(workshop_.path("results"));
    auto words = tune();
    words[1] = testing::data("tiny_suite.json");
    EXPECT_EQ(workshop_.run(words).code, kInput);
    EXPECT_FALSE(std::filesystem::exists(workshop_.path("results")));
    EXPECT_FALSE(std::filesystem::exists(workshop_.cache()));
}

}  // namespace
}  // namespace attune
