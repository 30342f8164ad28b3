#include "backend/cuda/mismatch.h"

#include <fmt/format.h>

#include "core/bf16.h"

namespace attune::cuda {
namespace {

template <class T>
T fetch(const DriverApi& api, CUstream stream, const T* base, unsigned long long index) {
    T value{};
    download(api, stream, std::as_writable_bytes(std::span(&value, 1)), reinterpret_cast<CUdeviceptr>(base + index));
    return value;
}

std::string place(const CaseSpec& spec, const DrawData& data, unsigned long long row) {
    const auto t_max = static_cast<unsigned long long>(spec.t_max);
    const auto heads = static_cast<unsigned long long>(spec.num_heads);
    const unsigned long long batch = row / t_max / heads;
    return fmt::format("batch {}, head {}, row {} (seq_len {})", batch, row / t_max % heads, row % t_max,
                       data.seq_lens[batch]);
}

}  // namespace

std::string describe_mismatch(const DriverApi& api, CUstream stream, const CaseSpec& spec, const DrawData& data,
                              const CompareArgs& compared, const CompareResult& result) {
    if (result.lse.bad_elements > 0) {
        const unsigned long long row = result.lse.first_bad;
        return fmt::format("lse at {}: got {}, expected {}", place(spec, data, row),
                           fetch(api, stream, compared.lse, row), fetch(api, stream, compared.lse_reference, row));
    }
    const unsigned long long element = result.o.first_bad;
    const unsigned long long row = element / kHeadDim;
    const bool exact = fetch(api, stream, compared.lse_reference, row) < -3e38F;
    return fmt::format("o at {}, column {}: got {}, expected {}{}", place(spec, data, row), element % kHeadDim,
                       from_bf16(fetch(api, stream, compared.o, element)),
                       from_bf16(fetch(api, stream, compared.o_reference, element)), exact ? " exactly" : "");
}

}  // namespace attune::cuda
