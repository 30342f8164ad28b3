// The one argument every kernel entry of every template receives, for both compilers.
//
// The driver fills it and passes it by value (`const __grid_constant__ AttnArgs` on a GPU, `const AttnArgs*` on the
// CPU device). It includes nothing, so that NVRTC needs no include path, and its layout is asserted wherever it is
// included. The operator itself (shapes, masking rules, tolerances) is described in docs/operator.md.
#pragma once

/// Tokens in a query block and in a key block.
constexpr int kBlockSize = 128;
/// Elements of one head's vector; also the row length of q, k, v and o.
constexpr int kHeadDim = 128;
/// Tensor maps a template may ask for (template.json, "tensor_maps"), in its order.
constexpr int kMaxTensorMaps = 8;

/// An encoded CUtensorMap: 128 opaque bytes which TMA instructions take by address.
struct alignas(64) AttnTensorMap {
    unsigned long long opaque[16];
};

/// Everything a call of `block_sparse_attn_fwd` knows. Pointers are device pointers on a GPU.
struct alignas(64) AttnArgs {
    AttnTensorMap maps[kMaxTensorMaps];
    const unsigned short* q;  ///< (batch, heads, t_max, 128) bf16 bits
    const unsigned short* k;  ///< as q
    const unsigned short* v;  ///< as q
    unsigned short* o;        ///< as q; rows at or past seq_len must become exactly 0
    float* lse;               ///< (batch, heads, t_max); -inf at or past seq_len
    const int* row_ptr;       ///< (batch, heads, q_blocks + 1): CSR starts within one (batch, head)
    const int* col_idx;       ///< (batch, heads, max_nnz): ascending within a row, zero-padded
    const int* seq_lens;      ///< (batch)
    void* workspace;          ///< 256-byte aligned scratch of the size template.json asks for; zeroed once when allocated
    int batch;
    int heads;
    int t_max;     ///< multiple of 128
    int q_blocks;  ///< t_max / 128
    int max_nnz;   ///< stride of col_idx
    float scale;   ///< 1 / sqrt(128), multiplies q.k before the softmax
};

static_assert(sizeof(AttnTensorMap) == 128 && alignof(AttnTensorMap) == 64, "must match CUtensorMap");
static_assert(sizeof(AttnArgs) == 1152, "the driver and the kernel must agree on the layout of AttnArgs");
