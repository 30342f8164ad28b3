
namespace {

/// A copy of a host vector on the device.
template <class Element>
class OnDevice {
  public:
    explicit OnDevice(std::vector<Element>& host)
        : host_(host), memory_(host.size() * sizeof(Element)) {
        block_sparse_attn::detail::check(cuMemcpyHtoD(memory_.address(), host.data(), memory_.bytes()), "cuMemcpyHtoD");
    }
    Element* data() const { return reinterpret_cast<Element*>(memory_.address()); }
    void fetch() const {
        block_sparse_attn::detail::check(cuMemcpyDtoH(host_.data(), memory_.address(), memory_.bytes()), "cuMemcpyDtoH");
    }

  private:
    std::vector<Element>& host_;
    block_sparse_attn::detail::Memory memory_;
};

bool run(const std::string& folder) {
    Case call;
    block_sparse_attn::Kernels kernels(folder);
    const OnDevice q(call.q), k(call.k), v(call.v), o(call.o);
    const OnDevice lse(call.lse);
    const OnDevice row_ptr(call.row_ptr), col_idx(call.col_idx), seq_lens(call.seq_lens);
    kernels.run(call.shape, {q.data(), k.data(), v.data(), row_ptr.data(), col_idx.data(), seq_lens.data(), o.data(),
                             lse.data()}, nullptr, block_sparse_attn::Family::unknown, kLargestV);
    block_sparse_attn::detail::check(cuCtxSynchronize(), "cuCtxSynchronize");
    o.fetch();
    lse.fetch();
    return call.correct();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        block_sparse_attn::detail::check(cuInit(0), "cuInit");
        CUdevice device = 0;
        block_sparse_attn::detail::check(cuDeviceGet(&device, 0), "cuDeviceGet");
        CUcontext context = nullptr;
        block_sparse_attn::detail::check(cuDevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain");
        block_sparse_attn::detail::check(cuCtxSetCurrent(context), "cuCtxSetCurrent");
        const bool correct = run(argc > 1 ? argv[1] : ".");
        cuDevicePrimaryCtxRelease(device);
        return correct ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
