namespace {

using block_sparse_attn::Shape;
using block_sparse_attn::Tensors;

constexpr int kBlock = 128;
constexpr int kDim = 128;
constexpr double kLargestV = 16.0;  // more than any draw from the standard normal distribution here

float from_bf16(unsigned short bits) {
    const unsigned wide = static_cast<unsigned>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return value;
}

unsigned short to_bf16(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    return static_cast<unsigned short>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

/// One call with a sliding window of two blocks, in host memory.
struct Case {
    Shape shape{1, 2, 512, 7};
    std::vector<int> seq_lens{500};
    std::vector<int> row_ptr, col_idx;
    std::vector<unsigned short> q, k, v, o;
    std::vector<float> lse;

    Case() {
        for (int head = 0; head < shape.heads; ++head) {
            const int starts[] = {0, 1, 3, 5, 7};
            const int columns[] = {0, 0, 1, 1, 2, 2, 3};
            row_ptr.insert(row_ptr.end(), std::begin(starts), std::end(starts));
            col_idx.insert(col_idx.end(), std::begin(columns), std::end(columns));
        }
        std::mt19937 generator(1);
        std::normal_distribution<float> normal;
        const std::size_t rows = static_cast<std::size_t>(shape.batch) * shape.heads * shape.t_max;
        for (auto* tensor : {&q, &k, &v}) {
            tensor->resize(rows * kDim);
            for (unsigned short& element : *tensor) element = to_bf16(normal(generator));
        }
        o.assign(rows * kDim, 0x7fff);  // NaN: what is left unwritten shows
        lse.assign(rows, NAN);
    }

    /// Whether o and lse are what plain attention in double gives.
    bool correct() const {
        double worst_o = 0.0, worst_lse = 0.0;
        for (int row = 0; row < shape.heads * shape.t_max; ++row) compare(row, worst_o, worst_lse);
        std::printf("worst error over tolerance: o %.3f, lse %.3f\n", worst_o, worst_lse);
        return worst_o <= 1.0 && worst_lse <= 1.0;
    }

  private:
    void compare(int row, double& worst_o, double& worst_lse) const {
        const int position = row % shape.t_max;
        const int head_start = row - position;
        const std::size_t base = static_cast<std::size_t>(row) * kDim;
        std::vector<double> expected(kDim, 0.0);
        double total = 0.0;
        if (position < seq_lens[0]) {
            const int first = std::max(0, position / kBlock - 1) * kBlock;
            for (int key = first; key <= position; ++key) {
                double score = 0.0;
                const std::size_t other = static_cast<std::size_t>(head_start + key) * kDim;
                for (int d = 0; d < kDim; ++d) score += double{from_bf16(q[base + d])} * from_bf16(k[other + d]);
                const double weight = std::exp(score / std::sqrt(double{kDim}));
                total += weight;
                for (int d = 0; d < kDim; ++d) expected[d] += weight * from_bf16(v[other + d]);
            }
        }
        for (int d = 0; d < kDim; ++d) {
            const double want = total > 0 ? from_bf16(to_bf16(static_cast<float>(expected[d] / total))) : 0.0;
            worst_o = worse(worst_o, std::fabs(from_bf16(o[base + d]) - want) / (1e-3 + 1e-2 * std::fabs(want)));
        }
        const double want = std::log(total);
        const bool both_infinite = total == 0.0 && lse[static_cast<std::size_t>(row)] == -INFINITY;
        const double error = both_infinite ? 0.0 : std::fabs(lse[static_cast<std::size_t>(row)] - want);
        worst_lse = worse(worst_lse, error / (1e-5 + 1e-5 * (total > 0 ? std::fabs(want) : 0.0)));
    }
    /// The larger; NaN is worse than anything.
    static double worse(double a, double b) { return b <= a ? a : (std::isnan(b) ? INFINITY : b); }
};

}  // namespace
