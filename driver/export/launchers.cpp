// The launchers of a package: fixed runtimes (package/), and the variants' geometry as code between them.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "export/geometry.h"
#include "export/package.h"

namespace attune {
namespace embedded {
extern const std::string_view attn_args_header;
extern const std::string_view package_common_py;
extern const std::string_view package_cuda_py;
extern const std::string_view package_cpu_py;
extern const std::string_view package_common_h;
extern const std::string_view package_cuda_h;
extern const std::string_view package_cpu_h;
extern const std::string_view package_example_common;
extern const std::string_view package_example_cuda;
extern const std::string_view package_example_cpu;
extern const std::string_view package_readme;
}  // namespace embedded

namespace {

/// A string literal of C++ and Python alike.
std::string literal(std::string_view text) {
    return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

/// What the file is, on lines that begin with `mark`.
std::string heading(const Package& package, std::string_view mark, std::string_view what) {
    return fmt::format(
        "{0} {1}\n{0} Exported by attune {2} from study {3}. manifest.json says what was measured and checked.\n", mark,
        what, package.attune_version, package.study.name);
}

std::string tensor_maps_python(const GeometryCode& geometry) {
    std::string text;
    for (const TensorMapCode& map : geometry.tensor_maps) {
        text +=
            fmt::format("            TensorMap({}, {}, {}, {}, {}, lambda c: {}),\n", literal(tensor_name(map.tensor)),
                        map.fp16 ? "True" : "False", map.rows, map.cols, map.swizzle_bytes, map.offset_bytes);
    }
    return text;
}

std::string variant_python(const PackageVariant& variant) {
    const GeometryCode geometry = geometry_code(variant.kernel_template, variant.candidate);
    std::string kernels;
    for (const KernelCode& kernel : geometry.kernels) {
        kernels +=
            fmt::format("            Kernel({}, (lambda c: {}), {}, {}, {}),\n", literal(kernel.entry),
                        fmt::join(kernel.grid, ", lambda c: "), kernel.threads, kernel.shared_bytes, kernel.cluster);
    }
    return fmt::format(
        "    Variant(\n        {},\n        (\n{}        ),\n        (\n{}        ),\n        lambda c: {},\n        "
        "lambda c: "
        "{},\n    ),\n",
        literal(variant.name), kernels, tensor_maps_python(geometry), geometry.workspace_bytes,
        geometry.workspace_clear_bytes);
}

std::string code(const std::string& expression) {
    return fmt::format("[]([[maybe_unused]] const Call& c) {{ return {}; }}", expression);
}

std::string match_header(const PackageVariant& variant) {
    std::string families;
    for (const Family family : variant.families)
        families += fmt::format("{}Family::{}", families.empty() ? "" : ", ", to_string(family));
    return fmt::format("{{{{{}}}, 0, 1 << 30, 0, 1 << 30}}", families);
}

std::string variant_header(const Package& package, const PackageVariant& variant) {
    const GeometryCode geometry = geometry_code(variant.kernel_template, variant.candidate);
    std::string kernels;
    for (const KernelCode& kernel : geometry.kernels) {
        kernels += fmt::format(
            "             {{{},\n              {{{},\n               {},\n               {}}},\n"
            "              {}, {}, {}}},\n",
            literal(kernel.entry), code(kernel.grid[0]), code(kernel.grid[1]), code(kernel.grid[2]), kernel.threads,
            kernel.shared_bytes, kernel.cluster);
    }
    std::string maps;
    for (const TensorMapCode& map : geometry.tensor_maps) {
        maps += fmt::format("             {{MapTensor::{}, {}, {}, {}, {}, {}}},\n", tensor_name(map.tensor), map.fp16,
                            map.rows, map.cols, map.swizzle_bytes, code(map.offset_bytes));
    }
    const bool is_default = &variant == &package.variants.front();
    const auto limit = largest_v(variant);
    return fmt::format(
        "        {{{}, {}, {}, {},\n         {},\n         {{\n{}         }},\n         {{\n{}         }},\n"
        "         {},\n         {}}},\n",
        literal(variant.name), literal(binary_path(package, variant)), is_default,
        limit ? fmt::format("{:.1f}", *limit) : "infinity()", match_header(variant), kernels, maps,
        code(geometry.workspace_bytes), code(geometry.workspace_clear_bytes));
}

std::string includes(std::set<std::string> names) {
    std::string text;
    for (const std::string& name : names)
        text += fmt::format("#include <{}>\n", name);
    return text + "\n";
}

bool on_cuda(const Package& package) {
    return package.device() == DeviceKind::cuda;
}

}  // namespace

std::string python_text(const Package& package) {
    std::string text = heading(
        package, "#", "Block-sparse causal attention: block_sparse_attn_fwd(q, k, v, row_ptr, col_idx, seq_lens).");
    text += embedded::package_common_py;
    text += "\n\n";
    text += on_cuda(package) ? embedded::package_cuda_py : embedded::package_cpu_py;
    text += "\n\n_VARIANTS = (\n";
    for (const PackageVariant& variant : package.variants)
        text += variant_python(variant);
    return text + ")\n\nVARIANT_MANIFEST = _variant_manifest()\n";
}

std::string header_text(const Package& package) {
    std::string text =
        heading(package, "//",
                on_cuda(package) ? "Block-sparse causal attention. C++17, links with -lcuda."
                                 : "Block-sparse causal attention. C++17, links with -ldl on old systems.");
    text += "#pragma once\n\n";
    text += includes({"cmath", "cstddef", "cstdint", "cstring", "limits", "stdexcept", "string", "utility", "vector"});
    text += on_cuda(package) ? includes({"cuda.h", "fstream", "iterator", "map"})
                             : includes({"algorithm", "dlfcn.h", "memory", "new", "thread"});
    std::string args(embedded::attn_args_header);
    const std::string once = "#pragma once\n";
    if (const auto at = args.find(once); at != std::string::npos) args.erase(at, once.size());
    text += "namespace block_sparse_attn {\n\n" + args + "\n";
    text += embedded::package_common_h;
    text += "\n";
    text += on_cuda(package) ? embedded::package_cuda_h : embedded::package_cpu_h;
    text +=
        "\nnamespace detail {\n\ninline const std::vector<Variant>& variants() {\n    static const "
        "std::vector<Variant> all{\n";
    for (const PackageVariant& variant : package.variants)
        text += variant_header(package, variant);
    return text + "    };\n    return all;\n}\n\n}  // namespace detail\n\n}  // namespace block_sparse_attn\n";
}

std::string example_text(const Package& package) {
    std::string text = heading(package, "//", "One call of the exported kernels, compared with plain attention.");
    text += fmt::format("#include \"{}\"\n\n", kHeaderFile);
    text += includes({"algorithm", "cmath", "cstdio", "cstring", "exception", "random", "string", "vector"});
    text += embedded::package_example_common;
    text += on_cuda(package) ? embedded::package_example_cuda : embedded::package_example_cpu;
    return text;
}

std::string readme_text(const Package& package) {
    return fmt::format(
        fmt::runtime(embedded::package_readme), fmt::arg("study", package.study.name),
        fmt::arg("version", package.attune_version), fmt::arg("device", on_cuda(package) ? "CUDA GPU" : "CPU"),
        fmt::arg("tensors", on_cuda(package) ? "torch tensors on the GPU"
                                             : "torch CPU tensors, or numpy arrays (bf16 as uint16 bits)"),
        fmt::arg("link", on_cuda(package) ? "-I/usr/local/cuda/include -lcuda" : "-ldl"),
        fmt::arg("architecture", package.variants.front().arch_name));
}

}  // namespace attune
