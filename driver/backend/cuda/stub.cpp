// The CUDA backend of a build without NVIDIA's headers: it says so, whoever asks.
#include "backend/cuda/cuda_backend.h"
#include "core/error.h"

namespace attune {
namespace {

constexpr const char* kMissing = "attune was built without NVIDIA's headers cuda.h and nvrtc.h";
constexpr const char* kRemedy =
    "install the CUDA toolkit (Debian, Ubuntu: apt install nvidia-cuda-toolkit) and build again";

[[noreturn]] void refuse() {
    throw EnvironmentError(std::string(kMissing) + "; " + kRemedy);
}

}  // namespace

bool cuda_backend_built() {
    return false;
}
std::vector<int> cuda_device_archs() {
    return {};
}
int cuda_device_count() {
    return 0;
}
std::vector<Capability> cuda_capabilities(const LibrarySearch&) {
    return {{"CUDA backend", false, kMissing, kRemedy}};
}

struct NvrtcCompiler::Impl {};
NvrtcCompiler::NvrtcCompiler(const LibrarySearch&, ArtifactCache) {
    refuse();
}
NvrtcCompiler::~NvrtcCompiler() = default;
NvrtcCompiler::NvrtcCompiler(NvrtcCompiler&&) noexcept = default;
NvrtcCompiler& NvrtcCompiler::operator=(NvrtcCompiler&&) noexcept = default;
Result<Artifact> NvrtcCompiler::compile(const CompileJob&) {
    refuse();
}
std::string NvrtcCompiler::version() const {
    refuse();
}

struct CudaDevice::Impl {};
CudaDevice::CudaDevice(const CudaDeviceOptions&, ArtifactCache) {
    refuse();
}
CudaDevice::~CudaDevice() = default;
CudaDevice::CudaDevice(CudaDevice&&) noexcept = default;
CudaDevice& CudaDevice::operator=(CudaDevice&&) noexcept = default;
TargetFacts CudaDevice::target() {
    refuse();
}
EnvironmentFacts CudaDevice::environment() {
    refuse();
}
void CudaDevice::open_suite(const Suite&) {
    refuse();
}
Result<bool> CudaDevice::load(Slot, const Variant&) {
    refuse();
}
Result<CheckReport> CudaDevice::check(Slot, std::size_t, Draw) {
    refuse();
}
Result<Samples> CudaDevice::time(Slot, std::size_t, const SampleRequest&) {
    refuse();
}
Result<PairedSamples> CudaDevice::pair(std::size_t, int) {
    refuse();
}
bool CudaDevice::poisoned() const {
    return false;
}

}  // namespace attune
