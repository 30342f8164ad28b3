#include "config/template.h"
#include "fuzz/fuzz.h"

namespace attune::fuzz {
namespace {

constexpr std::uint64_t kCandidates = 32;

// Everything the driver does with a template before it compiles anything.
void use(const KernelTemplate& kernel_template) {
    const TargetFacts target = kernel_template.usual_target();
    const Space space = kernel_template.space(target);
    Candidate candidate;
    for (std::uint64_t i = 0; i < std::min(kCandidates, space.combinations()); ++i) {
        space.at(i, candidate);
        if (!space.legal(candidate)) continue;
        require(space.parse(space.describe(candidate), space.defaults()) == candidate, "params round-trip");
        require(!kernel_template.source_bundle(candidate).empty(), "a bundle has files");
        const LaunchPlan plan = kernel_template.plan(candidate, {2, 4, 1024, 36}, target);
        require(plan.workspace_bytes >= 0 && plan.workspace_clear_bytes <= plan.workspace_bytes,
                "a workspace is sized");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    expect_one_line_errors([&] {
        use(make_template({{"kernel.cpp", "// nothing"},
                           {"kernel.cu", "// nothing"},
                           {"template.json", std::string(as_text(data, size))}},
                          "fuzz"));
    });
    return 0;
}

}  // namespace attune::fuzz
