// Every way we know in which a kernel or its compile goes wrong on a CPU, through the built program: one study tries
// them all, each followed by the same kernel without its fault.

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>

#include "faults/program.h"

namespace attune {
namespace {

using testing::Ended;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Workshop;

struct Expected {
    std::string fault;
    std::string outcome;
    std::string diagnostics;
};

const std::vector<Expected> kHangs{
    {"compile_endless", "timeout", "no answer within 15 s; the compile worker stopped by the coordinator"},
    {"endless_loop", "timeout", "no answer within 15 s; the device worker stopped by the coordinator"},
};
const std::vector<Expected> kFaults{
    {"compile_error", "compile_error", "the fault that was asked for"},
    {"compile_memory", "compile_error", "memory"},
    {"segfault", "crash", "killed by signal 11"},
    {"write_past_o", "incorrect", "wrote outside o"},
    {"write_before_lse", "incorrect", "wrote outside lse"},
    {"write_input", "crash", "killed by signal 11"},
    {"nan", "incorrect", "nan"},
    {"stale", "incorrect", "nan"},
    {"right_once", "incorrect", "draw 6"},
    {"abort", "crash", "killed by signal 6"},
    {"throw", "crash", "thrown by a kernel"},
    {"stack_overflow", "crash", "killed by signal 11"},
    {"huge_allocation", "crash", "bad_alloc"},
    {"exit_0", "crash", "exited with code 0"},
    {"close_channel", "crash", "the device worker died"},
    {"garble_channel", "crash", "sent something that is no answer"},
    {"chatter", "crash", "File size limit exceeded"},
};

struct Row {
    std::string status;
    std::string outcome;
    std::string diagnostics;
    std::string reproduce;
};

std::map<std::string, std::vector<Row>> rows_of(const std::filesystem::path& database, const std::string& study) {
    SQLite::Database db(database.string());
    SQLite::Statement select(db,
                             "SELECT params, status, outcome, coalesce(diagnostics, ''), reproduce FROM iterations "
                             "WHERE study = ?");
    select.bind(1, study);
    std::map<std::string, std::vector<Row>> rows;
    while (select.executeStep()) {
        rows[select.getColumn(0).getString()].push_back(
            {select.getColumn(1).getString(), select.getColumn(2).getString(), select.getColumn(3).getString(),
             select.getColumn(4).getString()});
    }
    return rows;
}

class CpuFaultsTest : public ::testing::Test {
  protected:
    void expect_one_crash_each(const std::string& study, const std::vector<Expected>& faults) {
        const Ended ended = workshop_.run({"tune", testing::data(study), "--device", "cpu"});
        ASSERT_EQ(ended.code, 0) << ended.err;
        auto rows = rows_of(workshop_.database(), std::filesystem::path(study).stem());
        EXPECT_EQ(rows.size(), 2 * (faults.size() + 1));
        for (const Expected& expected : faults) {
            SCOPED_TRACE(expected.fault);
            const auto& armed = rows["fault=" + expected.fault + ",armed=1,idle=0"];
            ASSERT_EQ(armed.size(), 1U);
            EXPECT_EQ(armed[0].status, "crash");
            EXPECT_EQ(armed[0].outcome, expected.outcome);
            EXPECT_THAT(armed[0].diagnostics, HasSubstr(expected.diagnostics));
            EXPECT_THAT(armed[0].reproduce, HasSubstr("--set fault=" + expected.fault + ",armed=1"));

            const auto& healthy = rows["fault=" + expected.fault + ",armed=0,idle=0"];
            ASSERT_EQ(healthy.size(), 1U);
            EXPECT_NE(healthy[0].status, "crash") << healthy[0].diagnostics;
        }
        EXPECT_TRUE(workshop_.is_deserted());
        EXPECT_THAT(workshop_.scratch(), IsEmpty());
    }

    Workshop workshop_;
};

TEST_F(CpuFaultsTest, EachBecomesOneCrashAndTheNextCandidateIsHealthy) {
    expect_one_crash_each("cpu_faults.json", kFaults);
}

TEST_F(CpuFaultsTest, AHangEndsAtItsDeadlineAndTheNextCandidateIsHealthy) {
    // Compiled beforehand and without haste, the healthy candidates are not what meets the short deadline.
    ASSERT_EQ(workshop_.run({"tune", testing::data("cpu_hangs_disarmed.json"), "--device", "cpu"}).code, 0);
    expect_one_crash_each("cpu_hangs.json", kHangs);
}

TEST_F(CpuFaultsTest, TheRecordedCommandRepeatsTheCrash) {
    ASSERT_EQ(workshop_.run({"tune", testing::data("cpu_faults.json"), "--device", "cpu", "--max-iters", "1"}).code, 0);
    const std::vector<std::string> attempt{
        "try", testing::data("cpu_faults.json"), "--set", "fault=segfault,armed=1", "-m", "x"};
    EXPECT_EQ(workshop_.run(attempt).code, 11);
    const std::string params = "fault=segfault,armed=1,idle=0";
    std::string command = rows_of(workshop_.database(), "cpu_faults")[params].at(0).reproduce;
    ASSERT_TRUE(command.starts_with("attune ")) << command;
    command.replace(0, 6, ATTUNE_BINARY);
    EXPECT_EQ(
        testing::Program({"/bin/sh", "-c", command}, workshop_.environment(), workshop_.path("log.txt")).wait().code,
        11);
    const auto rows = rows_of(workshop_.database(), "cpu_faults").at(params);
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[1].outcome, "crash");
}

}  // namespace
}  // namespace attune
