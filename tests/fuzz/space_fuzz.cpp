#include "config/space.h"
#include "config/template.h"
#include "fuzz/fuzz.h"

namespace attune::fuzz {

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const KernelTemplate kCpu = load_template(ATTUNE_SOURCE_DIR "/kernel_templates/cpu_blocked");
    expect_one_line_errors([&] {
        const KernelTemplate narrowed = kCpu.restricted(read_space(parse_json(as_text(data, size), "fuzz.json")));
        const Space space = narrowed.space(narrowed.usual_target());
        require(space.combinations() > 0, "a space holds something");
        static_cast<void>(space.legal(space.defaults()));
    });
    return 0;
}

}  // namespace attune::fuzz
