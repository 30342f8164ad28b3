// What template.json and a study's space say, as plain data: expressions are still text here (docs/templates.md).
#pragma once

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "core/expression.h"
#include "core/launch_plan.h"
#include "core/space.h"
#include "core/target.h"

namespace attune {

/// A file of the source bundle, by the name the compiler includes it under.
struct SourceFile {
    std::string name;
    std::string text;
};

struct DerivedSpec {
    std::string name;
    ExpressionText value;
};

struct ConstraintSpec {
    ExpressionText require;
    std::string because;
};

struct KernelSpec {
    std::string entry;
    std::array<ExpressionText, 3> grid;
    ExpressionText block;
    ExpressionText shared_bytes;
    ExpressionText cluster;
    ExpressionText when;
};

struct TensorMapSpec {
    TensorMapPlan::Tensor tensor = TensorMapPlan::Tensor::q;
    bool fp16 = false;
    ExpressionText rows;
    ExpressionText cols;
    ExpressionText swizzle;
    ExpressionText offset;
};

/// Names in a source bundle that are the driver's.
inline constexpr const char* kTemplateFile = "template.json";
inline constexpr const char* kArgsHeader = "attune/attn_args.h";
inline constexpr const char* kTuneHeader = "attune_tune.h";

/// A template folder as read.
struct TemplateSpec {
    std::string name;
    DeviceKind device = DeviceKind::cuda;
    std::string summary;
    std::string source;  ///< name of the file to compile
    int min_arch = 0;
    int max_arch = std::numeric_limits<int>::max();
    std::vector<Parameter> parameters;
    std::vector<DerivedSpec> derived;
    std::vector<ConstraintSpec> constraints;
    std::vector<KernelSpec> kernels;
    std::vector<TensorMapSpec> tensor_maps;
    ExpressionText workspace_bytes;
    ExpressionText workspace_clear_bytes;
    std::vector<SourceFile> files;  ///< everything in the folder, template.json included, sorted by name
    std::string where;              ///< path of template.json, for error messages
};

/// Narrows a template's space: which values a study tries, and what more it demands.
struct SpaceRestriction {
    struct Values {
        std::string parameter;
        std::vector<std::string> texts;  ///< values in their `key=value` spelling
    };
    std::vector<Values> values;
    std::vector<ConstraintSpec> constraints;
    std::string where;  ///< file (and key) it came from, for error messages
};

}  // namespace attune
