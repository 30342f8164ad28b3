// Workers that misbehave: real processes (a shell that says whatever the test wants on the channel), real deadlines.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/temp_folder.h"
#include "faults/program.h"
#include "faults/shell_worker.h"
#include "worker/codec.h"
#include "worker/remote.h"

namespace attune {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::kWait;
using ::testing::Not;
using testing::say;
using testing::say_bytes;
using testing::say_frame;
using testing::shell;
using testing::target_answer;

class WorkerFaultsTest : public ::testing::Test {
  protected:
    /// What a device whose worker runs `script` makes of a timing request.
    Result<Samples> time(const std::string& script, double request_s = 30.0) {
        RemoteDevice device(shell(script), {.request_s = request_s, .open_s = 30.0, .retry_s = 0.01}, "cpu");
        return device.time(Slot::challenger, 0, {.warmup = 0, .cold = 2, .warm = 0});
    }
    void expect_failure(const std::string& script, const std::string& words, Outcome outcome = Outcome::crash) {
        const auto result = time(script);
        ASSERT_FALSE(result.ok());
        EXPECT_EQ(result.failure().outcome, outcome);
        EXPECT_THAT(result.failure().diagnostics, HasSubstr(words));
    }

    TempFolder folder_;
};

TEST_F(WorkerFaultsTest, AGoodAnswerIsTaken) {
    const auto result = time(say({{"value", Samples{{0.5F, 0.25F}, {}, true}}}) + kWait);
    ASSERT_TRUE(result.ok()) << result.failure().diagnostics;
    EXPECT_EQ(result.value().cold_ms, (std::vector<float>{0.5F, 0.25F}));
}

TEST_F(WorkerFaultsTest, WhatIsNoFrameIsAFailure) {
    expect_failure("printf 'this is not a frame' >&3;" + kWait, "no answer");
    expect_failure(say_frame({0xff, 0xff}) + kWait, "no answer");
    expect_failure(say_frame(std::vector<std::uint8_t>(20000, 0x81)) + kWait, "no answer");  // 20000 deep
    expect_failure(say_frame({0xa1, 0x61, 'a', 0x9b, 255, 255, 255, 255, 255, 255, 255, 255}) + kWait, "no answer");
    expect_failure(say_frame(json::to_cbor(json::array({1, 2}))) + kWait, "no answer");
}

TEST_F(WorkerFaultsTest, AFrameThatMakesNoSenseIsAFailure) {
    expect_failure(say({{"value", 7}}) + kWait, "makes no sense");
    expect_failure(
        say({{"value", {{"cold_ms", {"a", "b"}}, {"warm_ms", json::array()}, {"throttled", false}}}}) + kWait,
        "makes no sense");
    expect_failure(say(json::object()) + kWait, "makes no sense");
    expect_failure(say({{"failure", {{"outcome", 99}, {"diagnostics", ""}}}, {"poisoned", false}}) + kWait,
                   "makes no sense");
    expect_failure(say({{"failure", {{"outcome", 0}, {"diagnostics", ""}}}, {"poisoned", false}}) + kWait,
                   "makes no sense");
    expect_failure(say({{"environment", 3}}) + kWait, "makes no sense");
}

TEST_F(WorkerFaultsTest, TimesThatCannotBeAreAFailure) {
    const auto answer = [](std::vector<float> cold) {
        return say({{"value", Samples{std::move(cold), {}, false}}}) + kWait;
    };
    expect_failure(answer({}), "0 samples instead of 2");
    expect_failure(answer({0.5F}), "1 samples instead of 2");
    expect_failure(answer({0.5F, 0.0F}), "a sample of 0 ms");
    expect_failure(answer({0.5F, -1.0F}), "a sample of -1 ms");
    expect_failure(answer({0.5F, NAN}), "a sample of nan ms");
}

TEST_F(WorkerFaultsTest, ADeathIsExplained) {
    expect_failure("kill -SEGV $$", "killed by signal 11");
    expect_failure("echo 'out of paper' >&2; exit 3", "exited with code 3; its last words: out of paper");
    expect_failure(say_bytes({16, 0, 0, 0, 1, 2}), "died");  // half a frame
}

// A stop reaches every process of a job; it is the coordinator that ends its workers.
TEST_F(WorkerFaultsTest, AStopOfTheWholeJobEndsNoWorkerNorWhatItStarted) {
    const std::string stop = "for s in INT TERM HUP; do kill -$s $$; sh -c \"kill -$s \\$\\$; true\" || exit 9; done;";
    const auto result = time(stop + say({{"value", Samples{{0.5F, 0.25F}, {}, true}}}) + kWait);
    EXPECT_TRUE(result.ok()) << result.failure().diagnostics;
}

TEST_F(WorkerFaultsTest, OfEndlessWordsTheFirstAndTheLastAreKept) {
    expect_failure("echo 'first error' >&2; head -c 9000000 /dev/zero | tr '\\0' x >&2; echo >&2; kill -SEGV $$",
                   "killed by signal 11 (Segmentation fault); its last words: first error");
    expect_failure("head -c 9000000 /dev/zero | tr '\\0' x >&2; echo 'it was the paper' >&2; exit 3",
                   "it was the paper");
    const auto flood = time("yes >&2", 0.5);
    ASSERT_FALSE(flood.ok());
    EXPECT_EQ(flood.failure().outcome, Outcome::timeout);
    EXPECT_LT(flood.failure().diagnostics.size(), 5000U);
}

TEST_F(WorkerFaultsTest, WordsOfEarlierRequestsExplainNothing) {
    const std::string script = "echo 'all is well' >&2;" + say(target_answer()) + "dd bs=1 count=4 <&3 >&3; exit 9";
    RemoteDevice device(shell(script), {.request_s = 30.0, .open_s = 30.0, .retry_s = 0.01}, "cpu");
    (void)device.target();
    const auto result = device.time(Slot::challenger, 0, {});
    ASSERT_FALSE(result.ok());
    EXPECT_THAT(result.failure().diagnostics, Not(HasSubstr("all is well")));
}

TEST_F(WorkerFaultsTest, AWorkerThatCannotBeStartedIsNotTheCandidatesFault) {
    WorkerCommand command = shell("");
    command.executable = folder_.path() / "removed";
    RemoteCompiler compiler(command, 10.0);
    try {
        (void)compiler.compile({});
        FAIL() << "it was started";
    } catch (const EnvironmentError& error) {
        EXPECT_THAT(error.what(), HasSubstr("cannot start a worker: " + command.executable.string()));
        EXPECT_THAT(error.what(), HasSubstr("No such file"));
    }
}

TEST_F(WorkerFaultsTest, SilenceEndsAtTheDeadline) {
    const auto silent = time(kWait, 0.2);
    ASSERT_FALSE(silent.ok());
    EXPECT_EQ(silent.failure().outcome, Outcome::timeout);
    const auto half = time(say_bytes({16, 0, 0, 0, 1, 2}) + kWait, 0.2);
    ASSERT_FALSE(half.ok());
    EXPECT_EQ(half.failure().outcome, Outcome::timeout);
}

TEST_F(WorkerFaultsTest, WhatAWorkerStartedDiesWithIt) {
    const auto pid_file = folder_.path() / "pid";
    (void)time(fmt::format("sleep 1000 & echo $! > {}; wait;", pid_file.string()), 1.0);
    const pid_t child = std::stoi(read_file(pid_file));
    for (int attempt = 0; attempt < 1000 && ::kill(child, 0) == 0; ++attempt) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_NE(::kill(child, 0), 0);
}

TEST_F(WorkerFaultsTest, ADeviceThatNeverWorkedIsToldAtOnce) {
    const auto starts = folder_.path() / "starts";
    RemoteDevice device(
        shell(fmt::format("echo >> {};", starts.string()) + say({{"environment", "no such GPU"}}) + kWait),
        {.request_s = 30.0, .open_s = 30.0, .retry_s = 0.01}, "cuda:7");
    EXPECT_THROW((void)device.target(), EnvironmentError);
    EXPECT_EQ(read_file(starts).size(), 1U);
}

// Works once, then never again: the worker dies before it answers.
TEST_F(WorkerFaultsTest, ADeviceThatIsLostIsGivenUpAfterAFewStarts) {
    const auto starts = folder_.path() / "starts";
    const std::string script = fmt::format("echo >> {0}; [ $(wc -l < {0}) -gt 1 ] && exit 9;", starts.string()) +
                               say(target_answer()) + "read line <&3";
    RemoteDevice device(shell(script), {.request_s = 0.2, .open_s = 30.0, .retry_s = 0.01}, "cuda:7");
    EXPECT_EQ(device.target().arch_name, "native");
    EXPECT_FALSE(device.time(Slot::challenger, 0, {}).ok());  // no answer: the worker is killed
    try {
        device.open_suite(Suite{"s", {}});
        FAIL() << "the device came back";
    } catch (const DeviceLost& lost) {
        EXPECT_THAT(lost.what(), HasSubstr("cuda:7"));
        EXPECT_THAT(lost.what(), HasSubstr("exited with code 9"));
        EXPECT_THAT(lost.what(), HasSubstr("gave up after 4 starts"));
        EXPECT_THAT(lost.what(), HasSubstr("nvidia-smi"));
    }
    EXPECT_EQ(read_file(starts).size(), 5U);
}

TEST_F(WorkerFaultsTest, ADeviceThatComesBackIsUsedAgain) {
    const auto starts = folder_.path() / "starts";
    const std::string script =
        fmt::format("echo >> {0}; [ $(wc -l < {0}) -lt 3 ] && exit 9;", starts.string()) + say(target_answer()) + kWait;
    RemoteDevice device(shell(script), {.request_s = 30.0, .open_s = 30.0, .retry_s = 0.01}, "cuda:7");
    EXPECT_EQ(device.target().arch_name, "native");
    EXPECT_EQ(read_file(starts).size(), 3U);
}

// The first worker takes the load and then says nothing more; the second is asked for times and for nothing before.
TEST_F(WorkerFaultsTest, AReplacedWorkerHasNothingLoaded) {
    const auto starts = folder_.path() / "starts";
    const std::string script = fmt::format("echo >> {0}; if [ $(wc -l < {0}) -eq 1 ]; then ", starts.string()) +
                               say({{"value", true}}) + " else " + say({{"value", Samples{{0.5F}, {}, false}}}) +
                               " fi;" + kWait;
    RemoteDevice device(shell(script), {.request_s = 5.0, .open_s = 30.0, .retry_s = 0.01}, "cpu");
    Variant variant;
    variant.artifact.path = folder_.write("artifact", "");
    EXPECT_FALSE(device.holds(Slot::incumbent));
    ASSERT_TRUE(device.load(Slot::incumbent, variant).ok());
    EXPECT_TRUE(device.holds(Slot::incumbent));
    EXPECT_FALSE(device.holds(Slot::challenger));
    ::kill(device.worker_pid(), SIGKILL);
    const SampleRequest request{.warmup = 0, .cold = 1, .warm = 0};
    EXPECT_FALSE(device.time(Slot::challenger, 0, request).ok());
    EXPECT_FALSE(device.holds(Slot::incumbent));
    const auto times = device.time(Slot::challenger, 0, request);
    ASSERT_TRUE(times.ok()) << times.failure().diagnostics;
    EXPECT_FALSE(device.holds(Slot::incumbent));
}

TEST_F(WorkerFaultsTest, ACompilerThatDiesOrHangsIsAFailureAndTheNextCompileGetsAnother) {
    Artifact made;
    made.path = "made";
    const auto starts = folder_.path() / "starts";
    const std::string script =
        fmt::format("echo >> {0}; case $(wc -l < {0}) in 1) kill -SEGV $$;; 2) sleep 1000;; esac;", starts.string()) +
        say({{"value", made}}) + kWait;
    RemoteCompiler compiler(shell(script), 10.0);
    const auto crashed = compiler.compile({});
    ASSERT_FALSE(crashed.ok());
    EXPECT_EQ(crashed.failure().outcome, Outcome::compile_error);
    EXPECT_THAT(crashed.failure().diagnostics, HasSubstr("killed by signal 11"));
    const auto hung = compiler.compile({});
    ASSERT_FALSE(hung.ok());
    EXPECT_EQ(hung.failure().outcome, Outcome::timeout);
    EXPECT_EQ(compiler.compile({}).value().path, "made");
}

TEST_F(WorkerFaultsTest, AnInterruptEndsACompileAndAllLaterOnes) {
    RemoteCompiler compiler(shell(kWait), 1000.0);
    std::jthread interrupter([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        compiler.interrupt();
    });
    // Whether the interrupt comes before or during the compile, it does not wait for the deadline.
    try {
        EXPECT_FALSE(compiler.compile({}).ok());
    } catch (const EnvironmentError&) {
    }
    EXPECT_THROW((void)compiler.compile({}), EnvironmentError);
}

TEST_F(WorkerFaultsTest, AnInterruptEndsTheWaitForADeviceToComeBack) {
    RemoteDevice device(shell("exit 9"), {.request_s = 30.0, .open_s = 30.0, .retry_s = 1000.0}, "cuda:7");
    std::jthread interrupter([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        device.interrupt();
    });
    EXPECT_THROW(device.open_suite(Suite{"s", {}}), EnvironmentError);
}

TEST_F(WorkerFaultsTest, AMissingArtifactIsNotTheCandidatesFault) {
    RemoteDevice device(shell(kWait), {}, "cpu");
    Variant variant;
    variant.artifact.path = (folder_.path() / "cleaned away").string();
    EXPECT_THROW((void)device.load(Slot::challenger, variant), ArtifactMissing);
}

}  // namespace
}  // namespace attune
