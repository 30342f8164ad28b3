// What a study of faults must come to: every fault one crash, and the candidate after each healthy.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>

#include "faults/program.h"

namespace attune::testing {

struct Expected {
    std::string fault;
    std::string outcome;
    std::string diagnostics;
};

struct Row {
    std::string status;
    std::string outcome;
    std::string diagnostics;
    std::string reproduce;
};

/// Rows of a study by their params.
inline std::map<std::string, std::vector<Row>> rows_of(const std::filesystem::path& database,
                                                       const std::string& study) {
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

class FaultsTest : public ::testing::Test {
  protected:
    /// Judges what a finished run of `study` has recorded. Candidates are named `fault=F,armed=0|1` and `rest`.
    void expect_one_crash_each(const std::string& study, const std::string& rest, const std::vector<Expected>& faults) {
        auto rows = rows_of(workshop_.database(), study);
        EXPECT_EQ(rows.size(), 2 * (faults.size() + 1));
        for (const Expected& expected : faults) {
            SCOPED_TRACE(expected.fault);
            const auto& armed = rows["fault=" + expected.fault + ",armed=1" + rest];
            ASSERT_EQ(armed.size(), 1U);
            EXPECT_EQ(armed[0].status, "crash");
            EXPECT_EQ(armed[0].outcome, expected.outcome);
            EXPECT_THAT(armed[0].diagnostics, ::testing::HasSubstr(expected.diagnostics));
            EXPECT_THAT(armed[0].reproduce, ::testing::HasSubstr("--set fault=" + expected.fault + ",armed=1"));

            const auto& healthy = rows["fault=" + expected.fault + ",armed=0" + rest];
            ASSERT_EQ(healthy.size(), 1U);
            EXPECT_NE(healthy[0].status, "crash") << healthy[0].diagnostics;
        }
        EXPECT_TRUE(workshop_.is_deserted());
        EXPECT_THAT(workshop_.scratch(), ::testing::IsEmpty());
    }

    Workshop workshop_;
};

}  // namespace attune::testing
