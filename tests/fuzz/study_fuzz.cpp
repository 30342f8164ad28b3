#include <fstream>

#include "config/study.h"
#include "core/temp_folder.h"
#include "fuzz/fuzz.h"

namespace attune::fuzz {

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const TempFolder kFolder;
    // An absolute path may name a device or a pipe; what a person's own files hold is not what is tested here.
    const std::string_view text = as_text(data, size);
    if (text.find("/dev/") != std::string_view::npos || text.find("/proc/") != std::string_view::npos) return 0;
    const std::filesystem::path file = kFolder.write("study.json", std::string(text));
    expect_one_line_errors([&] {
        const Study study = load_study(file, ATTUNE_SOURCE_DIR);
        require(!study.suite.cases.empty() && !study.name.empty(), "a study has a name and cases");
        require(study.name.find_first_of("/.") == std::string::npos, "a study's name stays in its folder");
    });
    return 0;
}

}  // namespace attune::fuzz
