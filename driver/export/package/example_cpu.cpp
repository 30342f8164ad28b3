
int main(int argc, char** argv) {
    try {
        block_sparse_attn::Kernels kernels(argc > 1 ? argv[1] : ".");
        Case call;
        kernels.run(call.shape, {call.q.data(), call.k.data(), call.v.data(), call.row_ptr.data(), call.col_idx.data(),
                                 call.seq_lens.data(), call.o.data(), call.lse.data()},
                    block_sparse_attn::Family::unknown, kLargestV);
        return call.correct() ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
