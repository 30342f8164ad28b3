#include "export/geometry.h"

#include "export/expression_code.h"

namespace attune {
namespace {

ExpressionCode own_scope(const KernelTemplate& kernel_template, const Candidate& candidate) {
    ExpressionCode code(call_names());
    const TemplateSpec& spec = kernel_template.spec();
    for (std::size_t i = 0; i < spec.parameters.size(); ++i) {
        const Parameter& all = spec.parameters[i];
        code.define(all.name, static_cast<double>(kernel_template.parameters()[i].values[candidate.choice[i]]));
        for (std::size_t word = 0; word < all.words.size(); ++word) {
            code.define(all.name + "_" + all.words[word], static_cast<double>(all.values[word]));
        }
    }
    for (const DerivedSpec& derived : spec.derived)
        code.define(derived.name, code.constant(derived.value));
    return code;
}

int whole(const ExpressionCode& code, const ExpressionText& source) {
    return static_cast<int>(code.constant(source));
}

}  // namespace

const std::vector<std::string>& call_names() {
    static const std::vector<std::string> names{
        "batch",    "heads",        "t_max",         "q_blocks",         "max_nnz",
        "sm_count", "shared_limit", "shared_per_sm", "registers_per_sm", "arch"};
    return names;
}

GeometryCode geometry_code(const KernelTemplate& kernel_template, const Candidate& candidate) {
    const ExpressionCode code = own_scope(kernel_template, candidate);
    const TemplateSpec& spec = kernel_template.spec();
    GeometryCode geometry;
    for (const KernelSpec& kernel : spec.kernels) {
        if (code.constant(kernel.when) == 0.0) continue;
        KernelCode& launch = geometry.kernels.emplace_back();
        launch.entry = kernel.entry;
        for (std::size_t axis = 0; axis < launch.grid.size(); ++axis)
            launch.grid[axis] = code.translate(kernel.grid[axis]);
        launch.threads = whole(code, kernel.block);
        launch.shared_bytes = whole(code, kernel.shared_bytes);
        launch.cluster = whole(code, kernel.cluster);
    }
    for (const TensorMapSpec& map : spec.tensor_maps) {
        geometry.tensor_maps.push_back({map.tensor, map.fp16, whole(code, map.rows), whole(code, map.cols),
                                        whole(code, map.swizzle), code.translate(map.offset)});
    }
    geometry.workspace_bytes = code.translate(spec.workspace_bytes);
    geometry.workspace_clear_bytes = code.translate(spec.workspace_clear_bytes);
    return geometry;
}

std::string_view tensor_name(TensorMapPlan::Tensor tensor) {
    switch (tensor) {
        case TensorMapPlan::Tensor::q:
            return "q";
        case TensorMapPlan::Tensor::k:
            return "k";
        case TensorMapPlan::Tensor::v:
            return "v";
        case TensorMapPlan::Tensor::o:
            return "o";
        case TensorMapPlan::Tensor::workspace:
            return "workspace";
    }
    return "";
}

}  // namespace attune
