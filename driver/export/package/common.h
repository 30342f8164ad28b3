/// Whether the caller knows the mask's family (docs of the operator). Every variant is correct for every mask: without
/// it, or with the wrong one, only speed changes.
enum class Family { unknown, sliding_window, sliding_window_global, sliding_window_retrieval };

struct Shape {
    int batch = 1;
    int heads = 1;
    int t_max = kBlockSize;  ///< a multiple of 128
    int max_nnz = 1;         ///< stride of col_idx
};

/// The operator's tensors, contiguous, at addresses the device reads; layouts are those of AttnArgs.
struct Tensors {
    const unsigned short* q = nullptr;
    const unsigned short* k = nullptr;
    const unsigned short* v = nullptr;
    const int* row_ptr = nullptr;
    const int* col_idx = nullptr;
    const int* seq_lens = nullptr;
    unsigned short* o = nullptr;
    float* lse = nullptr;
};

/// Facts of a device that launch geometry may depend on.
struct DeviceFacts {
    int sm_count = 1;
    int shared_limit = 0;
    int shared_per_sm = 0;
    int registers_per_sm = 0;
    int arch = 0;
};

namespace detail {

// Arithmetic of launch geometry, on real numbers as in the template.
inline double add(double a, double b) { return a + b; }
inline double subtract(double a, double b) { return a - b; }
inline double multiply(double a, double b) { return a * b; }
inline double divide(double a, double b) { return a / b; }
inline double modulo(double a, double b) { return std::fmod(a, b); }
inline double power(double a, double b) { return std::pow(a, b); }
inline double negative(double a) { return -a; }
inline double absolute(double a) { return std::fabs(a); }
inline double floor_of(double a) { return std::floor(a); }
inline double ceil_of(double a) { return std::ceil(a); }
inline double ceil_div(double a, double b) { return std::ceil(a / b); }
inline double minimum(double a, double b) { return b < a ? b : a; }
inline double maximum(double a, double b) { return a < b ? b : a; }
inline double less(double a, double b) { return a < b ? 1.0 : 0.0; }
inline double more(double a, double b) { return a > b ? 1.0 : 0.0; }
inline double at_most(double a, double b) { return a <= b ? 1.0 : 0.0; }
inline double at_least(double a, double b) { return a >= b ? 1.0 : 0.0; }
inline double equal(double a, double b) { return a == b ? 1.0 : 0.0; }
inline double differ(double a, double b) { return a != b ? 1.0 : 0.0; }
inline double both(double a, double b) { return a != 0 && b != 0 ? 1.0 : 0.0; }
inline double either(double a, double b) { return a != 0 || b != 0 ? 1.0 : 0.0; }
inline double choose(double condition, double yes, double no) { return condition != 0 ? yes : no; }
inline double infinity() { return std::numeric_limits<double>::infinity(); }
inline double not_a_number() { return std::numeric_limits<double>::quiet_NaN(); }

/// What launch geometry may depend on.
struct Call {
    double batch, heads, t_max, q_blocks, max_nnz;
    double sm_count, shared_limit, shared_per_sm, registers_per_sm, arch;

    Call(const Shape& shape, const DeviceFacts& facts)
        : batch(shape.batch),
          heads(shape.heads),
          t_max(shape.t_max),
          q_blocks(shape.t_max / kBlockSize),
          max_nnz(shape.max_nnz),
          sm_count(facts.sm_count),
          shared_limit(facts.shared_limit),
          shared_per_sm(facts.shared_per_sm),
          registers_per_sm(facts.registers_per_sm),
          arch(facts.arch) {}
};

using Code = double (*)(const Call&);

struct Kernel {
    const char* entry;
    Code grid[3];
    unsigned threads;
    unsigned shared_bytes;
    unsigned cluster;
};

enum class MapTensor { q, k, v, o, workspace };

struct TensorMap {
    MapTensor tensor;
    bool fp16;
    unsigned rows;
    unsigned cols;
    int swizzle_bytes;
    Code offset_bytes;
};

/// Shapes and families a variant was chosen for; an empty list of families means any.
struct Match {
    std::vector<Family> families;
    int min_t_max, max_t_max;
    int min_batch_heads, max_batch_heads;
};

struct Variant {
    const char* name;
    const char* file;  ///< below the package's folder
    bool is_default;
    double v_abs_max;  ///< largest |v| it takes
    Match match;
    std::vector<Kernel> kernels;
    std::vector<TensorMap> tensor_maps;
    Code workspace_bytes;
    Code clear_bytes;
};

inline const std::vector<Variant>& variants();

inline std::int64_t integer(double value, double low, double high) {
    if (!(value >= low && value <= high) || value != std::floor(value)) {
        throw std::invalid_argument("block_sparse_attn: launch geometry gives " + std::to_string(value) +
                                    " for this shape, which is no integer in " + std::to_string(low) + ".." +
                                    std::to_string(high));
    }
    return static_cast<std::int64_t>(value);
}

struct Launch {
    unsigned grid[3];
};

/// Launches of one variant on one shape, as numbers.
struct Plan {
    std::vector<Launch> launches;  ///< one a kernel
    std::int64_t workspace_bytes = 0;
    std::int64_t clear_bytes = 0;
    std::vector<std::int64_t> map_offsets;

    Plan(const Variant& variant, const Call& call) {
        constexpr double kMaxGrid[3] = {2147483647.0, 65535.0, 65535.0};
        for (const Kernel& kernel : variant.kernels) {
            Launch launch{};
            for (int axis = 0; axis < 3; ++axis) {
                launch.grid[axis] = static_cast<unsigned>(integer(kernel.grid[axis](call), 1.0, kMaxGrid[axis]));
            }
            launches.push_back(launch);
        }
        workspace_bytes = integer(variant.workspace_bytes(call), 0.0, 1099511627776.0);
        clear_bytes = integer(variant.clear_bytes(call), 0.0, static_cast<double>(workspace_bytes));
        for (const TensorMap& map : variant.tensor_maps) {
            map_offsets.push_back(integer(map.offset_bytes(call), 0.0, static_cast<double>(workspace_bytes)));
        }
    }
};

inline void check_shape(const Shape& shape, const Tensors& tensors) {
    if (shape.batch < 1 || shape.heads < 1 || shape.max_nnz < 1 || shape.t_max < kBlockSize ||
        shape.t_max % kBlockSize != 0) {
        throw std::invalid_argument(
            "block_sparse_attn: batch, heads and max_nnz must be positive and t_max a multiple of 128");
    }
    if (!tensors.q || !tensors.k || !tensors.v || !tensors.row_ptr || !tensors.col_idx || !tensors.seq_lens ||
        !tensors.o || !tensors.lse) {
        throw std::invalid_argument("block_sparse_attn: a tensor's address is null");
    }
}

inline bool matches(const Match& match, Family family, const Shape& shape) {
    bool listed = match.families.empty();
    for (const Family candidate : match.families) listed = listed || candidate == family;
    const std::int64_t batch_heads = std::int64_t{shape.batch} * shape.heads;
    return listed && shape.t_max >= match.min_t_max && shape.t_max <= match.max_t_max &&
           batch_heads >= match.min_batch_heads && batch_heads <= match.max_batch_heads;
}

/// Position of the variant for a call in variants(): one made for its family and shape, else the general one.
inline std::size_t choose_variant(const Shape& shape, Family family, double v_abs_max) {
    const std::vector<Variant>& all = variants();
    std::size_t general = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (all[i].is_default) {
            general = i;
        } else if (v_abs_max <= all[i].v_abs_max && matches(all[i].match, family, shape)) {
            return i;
        }
    }
    if (v_abs_max <= all[general].v_abs_max) return general;
    throw std::invalid_argument("block_sparse_attn: these kernels convert v to fp16 and take |v| up to " +
                                std::to_string(all[general].v_abs_max) +
                                "; tell run() that yours is (v_abs_max), or export a variant without fp16");
}

inline AttnArgs arguments(const Shape& shape, const Tensors& tensors, void* workspace) {
    AttnArgs args{};
    args.q = tensors.q;
    args.k = tensors.k;
    args.v = tensors.v;
    args.o = tensors.o;
    args.lse = tensors.lse;
    args.row_ptr = tensors.row_ptr;
    args.col_idx = tensors.col_idx;
    args.seq_lens = tensors.seq_lens;
    args.workspace = workspace;
    args.batch = shape.batch;
    args.heads = shape.heads;
    args.t_max = shape.t_max;
    args.q_blocks = shape.t_max / kBlockSize;
    args.max_nnz = shape.max_nnz;
    args.scale = 1.0F / std::sqrt(static_cast<float>(kHeadDim));
    return args;
}

inline bool same(const Shape& a, const Shape& b) {
    return a.batch == b.batch && a.heads == b.heads && a.t_max == b.t_max && a.max_nnz == b.max_nnz;
}

}  // namespace detail
