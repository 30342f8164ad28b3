#include "backend/cuda/device_code.h"

#include <string_view>

namespace attune {
namespace embedded {

extern const std::string_view attn_args_header;
extern const std::string_view philox_header;
extern const std::string_view device_args_header;
extern const std::string_view compare_kernels;
extern const std::string_view generate_kernel;
extern const std::string_view reference_kernel;
extern const std::string_view timing_kernels;
extern const std::string_view device_code;

}  // namespace embedded

namespace cuda {

CompileJob device_code_job(const std::string& arch_name) {
    CompileJob job;
    job.sources = {{"device_code.cu", std::string(embedded::device_code)},
                   {"device_args.h", std::string(embedded::device_args_header)},
                   {"compare.cuh", std::string(embedded::compare_kernels)},
                   {"generate.cuh", std::string(embedded::generate_kernel)},
                   {"reference.cuh", std::string(embedded::reference_kernel)},
                   {"timing.cuh", std::string(embedded::timing_kernels)},
                   {"core/philox.h", std::string(embedded::philox_header)},
                   {"attune/attn_args.h", std::string(embedded::attn_args_header)}};
    job.main_source = "device_code.cu";
    job.entries = {"attune_generate", "attune_reference", "attune_compare", "attune_guards",
                   "attune_checksum", "attune_flush",     "attune_delay"};
    job.arch_name = arch_name;
    return job;
}

}  // namespace cuda
}  // namespace attune
