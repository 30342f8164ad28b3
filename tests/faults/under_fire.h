// A study that is killed, stopped and starved by its test, and what must be on record when it has come to its end.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>

#include <iostream>
#include <random>
#include <set>

#include "faults/program.h"

namespace attune::testing {

inline long number_from(const char* variable, long fallback) {
    const char* text = std::getenv(variable);
    return text == nullptr ? fallback : std::stol(text);
}

class StudyUnderFire : public ::testing::Test {
  protected:
    /// `study` names a file beside the fault templates that has so many candidates, none of them at fault.
    StudyUnderFire(std::string study, std::string device, int candidates)
        : study_(std::move(study)),
          device_(std::move(device)),
          candidates_(candidates),
          seed_(static_cast<std::uint64_t>(number_from("ATTUNE_SEED", static_cast<long>(std::random_device{}())))) {
        random_.seed(seed_);
    }

    [[nodiscard]] std::vector<std::string> tune() const {
        return {"tune", data(study_ + ".json"), "--device", device_};
    }
    [[nodiscard]] std::chrono::milliseconds random_time(std::chrono::milliseconds longest) {
        using Count = std::chrono::milliseconds::rep;
        return std::chrono::milliseconds(std::uniform_int_distribution<Count>(0, longest.count())(random_));
    }

    [[nodiscard]] SQLite::Database open_database() const {
        constexpr int kPatienceMs = 60'000;  // while the study creates it
        return {workshop_.database().string(), SQLite::OPEN_READONLY, kPatienceMs};
    }
    [[nodiscard]] int count(const std::string& what) const {
        return open_database().execAndGet("SELECT " + what).getInt();
    }
    [[nodiscard]] int recorded() const {
        if (!std::filesystem::exists(workshop_.database())) return 0;
        const bool has_schema = count("count(*) FROM sqlite_schema WHERE name = 'iteration'") > 0;
        return has_schema ? count("count(*) FROM iteration") : 0;
    }

    /// Runs the study to its end and checks that what is recorded is all of it, once, numbered without a gap.
    void expect_it_completes() {
        const Ended ended = workshop_.run(tune());
        ASSERT_EQ(ended.code, 0) << ended.err;
        std::set<std::string> seen;
        {
            SQLite::Database db = open_database();
            EXPECT_EQ(db.execAndGet("PRAGMA integrity_check").getString(), "ok");
            SQLite::Statement select(db, "SELECT iter, params FROM iteration ORDER BY iter");
            int next = 1;
            while (select.executeStep()) {
                EXPECT_EQ(select.getColumn(0).getInt(), next++);
                EXPECT_TRUE(seen.insert(select.getColumn(1).getString()).second)
                    << "twice: " << select.getColumn(1).getString();
            }
        }
        EXPECT_EQ(seen.size(), static_cast<std::size_t>(candidates_));
        EXPECT_EQ(count("count(*) FROM intent WHERE is_open"), 0);
        expect_tsv_equals_database();
        expect_nothing_left();
    }

    /// iters.tsv, written line by line, is what is written anew from the database.
    void expect_tsv_equals_database() {
        const auto tsv = workshop_.path("results") / study_ / "iters.tsv";
        const std::string appended = read_file(tsv);
        EXPECT_EQ(std::count(appended.begin(), appended.end(), '\n'), count("count(*) + 1 FROM iteration"));
        std::filesystem::remove(tsv);
        ASSERT_EQ(workshop_.run(tune()).code, 0);
        EXPECT_EQ(read_file(tsv), appended);
    }

    void expect_nothing_left() {
        EXPECT_TRUE(workshop_.is_deserted());
        EXPECT_THAT(workshop_.scratch(), ::testing::IsEmpty());
        for (const auto& entry : std::filesystem::recursive_directory_iterator(workshop_.path("results"))) {
            const std::string name = entry.path().filename().string();
            EXPECT_THAT(name, ::testing::AnyOf("attune.db", study_, "iters.tsv", ".lock")) << "left behind";
        }
    }

    /// Waits until the study has recorded so much.
    void await_iterations(Program& program, int wanted) {
        while (recorded() < wanted)
            ASSERT_TRUE(program.runs_for(std::chrono::milliseconds(10))) << program.wait().err;
    }

    /// Kills the coordinator so often, each time after a random time, and checks each study that came to its end
    /// meanwhile.
    void survive_kills(long kills) {
        using std::chrono::milliseconds;
        int completed = 0;
        long killed_at_work = 0;
        // So long does an undisturbed run take: the instants are spread over all of it.
        const auto started = std::chrono::steady_clock::now();
        ASSERT_EQ(workshop_.run(tune()).code, 0);
        const auto whole = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - started);
        expect_it_completes();
        std::filesystem::remove_all(workshop_.path("results"));

        while (kills > 0) {
            Program program = workshop_.start(tune());
            if (program.runs_for(random_time(whole))) program.signal(SIGKILL);
            const Ended ended = program.wait();
            if (ended.signal == SIGKILL) {
                --kills;
                killed_at_work += recorded() > 0 ? 1 : 0;
                ASSERT_TRUE(workshop_.is_deserted()) << "seed " << seed_;
            } else {
                // It came to its end, perhaps in the very moment before the signal.
                ASSERT_EQ(ended.code, 0) << "seed " << seed_ << ": " << ended.err;
            }
            if (recorded() < candidates_) continue;
            expect_it_completes();
            EXPECT_EQ(count("count(*) FROM iterations WHERE status = 'crash'"), 0);
            ASSERT_FALSE(HasFailure()) << "seed " << seed_;
            std::filesystem::remove_all(workshop_.path("results"));
            ++completed;
        }
        expect_it_completes();
        std::cout << completed + 1 << " studies completed under fire, " << killed_at_work
                  << " kills with iterations on record, seed " << seed_ << ", whole run " << whole.count() << " ms\n";
    }

    const std::string study_;
    const std::string device_;
    const int candidates_;
    const std::uint64_t seed_;
    std::mt19937_64 random_;
    Workshop workshop_;
};

}  // namespace attune::testing
