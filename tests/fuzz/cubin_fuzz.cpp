#include <span>

#include "backend/cuda/cubin.h"
#include "fuzz/fuzz.h"

namespace attune::fuzz {

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string defect = cuda::cubin_defect(std::as_bytes(std::span(data, size)));
    require(defect.find('\n') == std::string::npos, "a defect is one line");
    return 0;
}

}  // namespace attune::fuzz
