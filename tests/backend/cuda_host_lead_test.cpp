// The spin that batches of timed calls are enqueued behind, on a host that is sometimes held up.
#include "backend/cuda/host_lead.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace attune::cuda {
namespace {

/// A batch that the host enqueues at `took_ns` a call, taken again as often as the lead wants. Returns the spins.
std::uint64_t take(HostLead& lead, std::uint64_t took_ns) {
    std::uint64_t spun_ns = 0;
    for (bool again = true; again;) {
        spun_ns += lead.spin_ns_per_call();
        again = lead.take_again(took_ns, lead.spin_ns_per_call() > took_ns);
    }
    return spun_ns;
}

TEST(HostLeadTest, OneHoldUpIsForgottenWithinTenBatches) {
    HostLead lead;
    const std::uint64_t usual_ns = take(lead, 5'000);
    EXPECT_GT(take(lead, 300'000), 300'000U);
    for (int i = 0; i < 10; ++i)
        static_cast<void>(take(lead, 5'000));
    EXPECT_EQ(take(lead, 5'000), usual_ns);
}

TEST(HostLeadTest, ASlowHostTakesNoBatchTwiceOnceItsPaceIsKnown) {
    HostLead lead;
    static_cast<void>(take(lead, 90'000));
    for (int i = 0; i < 100; ++i) {
        const std::uint64_t spin_ns = lead.spin_ns_per_call();
        EXPECT_EQ(take(lead, i % 2 == 0 ? 90'000 : 60'000), spin_ns);
    }
    EXPECT_LT(lead.spin_ns_per_call(), 250'000U);
}

TEST(HostLeadTest, AHostThatNeverGetsAheadIsTakenAsItIs) {
    HostLead lead;
    static_cast<void>(take(lead, 50'000'000));
    EXPECT_FALSE(lead.take_again(50'000'000, false));
}

}  // namespace
}  // namespace attune::cuda
