#include "backend/cuda/gpu_facts.h"

#include <fmt/format.h>

#include <array>

namespace attune::cuda {
namespace {

std::string to_text(const CUuuid& uuid) {
    std::string text = "GPU-";
    for (std::size_t i = 0; i < std::size(uuid.bytes); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
        text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
    }
    return text;
}

}  // namespace

std::string arch_name(int major, int minor) {
    return fmt::format("sm_{}{}{}", major, minor, major >= 9 ? "a" : "");
}

GpuFacts read_gpu_facts(const DriverApi& api, const Context& context) {
    const int major = context.attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    const int minor = context.attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    GpuFacts facts;
    facts.target.kind = DeviceKind::cuda;
    facts.target.arch = 10 * major + minor;
    facts.target.arch_name = arch_name(major, minor);
    facts.target.sm_count = context.attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    facts.target.shared_limit_bytes = context.attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
    facts.target.shared_per_sm_bytes = context.attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
    facts.target.registers_per_sm = context.attribute(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR);
    facts.l2_bytes = static_cast<std::size_t>(context.attribute(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE));
    std::array<char, 256> name{};
    require(api, api.cuDeviceGetName(name.data(), static_cast<int>(name.size()), context.device()), "cuDeviceGetName");
    facts.name = name.data();
    CUuuid uuid{};
    require(api, api.cuDeviceGetUuid(&uuid, context.device()), "cuDeviceGetUuid");
    facts.uuid = to_text(uuid);
    return facts;
}

}  // namespace attune::cuda
