#include "config/template.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include "config/json_reader.h"
#include "config/space.h"
#include "core/error.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxKernels = 16;
constexpr std::size_t kMaxTensorMaps = 8;
constexpr std::size_t kMaxWordLength = 32;

ExpressionText expression_or(const JsonObject& object, std::string_view key, const char* fallback) {
    if (const auto value = object.find(key)) return read_expression(*value);
    return {fallback, object.value().where()};
}

bool is_word(std::string_view text) {
    return !text.empty() && text.size() <= kMaxWordLength && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    });
}

void read_values(const JsonValue& values, Parameter& parameter) {
    const std::vector<JsonValue> items = values.items();
    if (items.empty()) values.fail("is empty; list at least one value");
    if (items.size() > kMaxValues)
        values.fail(fmt::format("has {} values; at most {} are allowed", items.size(), kMaxValues));
    const bool words = items.front().is_text();
    for (std::size_t i = 0; i < items.size(); ++i) {
        if (!words) {
            parameter.values.push_back(
                items[i].integer(std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()));
        } else if (const std::string& word = items[i].text(); is_word(word)) {
            parameter.values.push_back(static_cast<std::int64_t>(i));
            parameter.words.push_back(word);
        } else {
            items[i].fail(
                fmt::format("'{}' cannot be a word: write up to {} letters, digits and _", word, kMaxWordLength));
        }
        for (std::size_t earlier = 0; earlier < i; ++earlier) {
            if (parameter.text(earlier) == parameter.text(i)) {
                items[i].fail(fmt::format("the value {} is listed twice", parameter.text(i)));
            }
        }
    }
}

Parameter read_parameter(const JsonValue& value) {
    const JsonObject object = value.object({"name", "values", "default", "meaning"});
    Parameter parameter;
    parameter.name = object.get("name").line();
    parameter.meaning = object.text_or("meaning", "");
    read_values(object.get("values"), parameter);
    const JsonValue usual = object.get("default");
    const std::string text = read_value_text(usual);
    try {
        parameter.default_choice = choice_of(parameter, text);
    } catch (const InputError& error) {
        usual.fail(error.what());
    }
    return parameter;
}

KernelSpec read_kernel(const JsonValue& value) {
    const JsonObject object = value.object({"entry", "grid", "block", "shared_bytes", "cluster", "when"});
    KernelSpec kernel;
    const JsonValue entry = object.get("entry");
    kernel.entry = entry.line();
    if (!is_usable_name(kernel.entry)) entry.fail(fmt::format("'{}' is no function name of C++", kernel.entry));
    const JsonValue grid = object.get("grid");
    const std::vector<JsonValue> extents = grid.items();
    if (extents.size() != kernel.grid.size()) grid.fail("must list three extents: [x, y, z]");
    for (std::size_t axis = 0; axis < extents.size(); ++axis)
        kernel.grid[axis] = read_expression(extents[axis]);
    kernel.block = read_expression(object.get("block"));
    kernel.shared_bytes = expression_or(object, "shared_bytes", "0");
    kernel.cluster = expression_or(object, "cluster", "1");
    kernel.when = expression_or(object, "when", "1");
    return kernel;
}

TensorMapSpec read_tensor_map(const JsonValue& value) {
    // In the order of TensorMapPlan::Tensor.
    constexpr std::array<std::string_view, 5> kTensors{"q", "k", "v", "o", "workspace"};
    constexpr std::array<std::string_view, 2> kTypes{"bf16", "fp16"};
    const JsonObject object = value.object({"tensor", "rows", "cols", "swizzle", "offset", "dtype"});
    TensorMapSpec map;
    map.tensor = static_cast<TensorMapPlan::Tensor>(object.get("tensor").choice(kTensors));
    if (const auto dtype = object.find("dtype")) map.fp16 = dtype->choice(kTypes) == 1;
    map.rows = read_expression(object.get("rows"));
    map.cols = read_expression(object.get("cols"));
    map.swizzle = expression_or(object, "swizzle", "0");
    if (const auto offset = object.find("offset"); offset && map.tensor != TensorMapPlan::Tensor::workspace) {
        offset->fail("only a map over 'workspace' has an offset; leave it out");
    }
    map.offset = expression_or(object, "offset", "0");
    return map;
}

void read_arch_range(const JsonObject& root, TemplateSpec& spec) {
    constexpr int kNewest = 999;
    for (const char* key : {"min_arch", "max_arch"}) {
        if (const auto value = root.find(key); value && spec.device == DeviceKind::cpu) {
            value->fail("is for cuda templates; leave it out");
        }
    }
    if (spec.device == DeviceKind::cpu) return;
    spec.min_arch = static_cast<int>(root.get("min_arch").integer(70, kNewest));
    if (const auto value = root.find("max_arch")) {
        spec.max_arch = static_cast<int>(value->integer(spec.min_arch, kNewest));
    }
}

void read_lists(const JsonObject& root, TemplateSpec& spec) {
    for (const JsonValue& item : read_list(root, "parameters", kMaxParameters))
        spec.parameters.push_back(read_parameter(item));
    if (spec.parameters.empty()) root.get("parameters").fail("is empty; there is nothing to tune without a parameter");
    for (const JsonValue& item : read_list(root, "derived", kMaxExpressions)) {
        const JsonObject object = item.object({"name", "value"});
        spec.derived.push_back({object.get("name").line(), read_expression(object.get("value"))});
    }
    for (const JsonValue& item : read_list(root, "constraints", kMaxExpressions)) {
        spec.constraints.push_back(read_constraint(item));
    }
    for (const JsonValue& item : read_list(root, "kernels", kMaxKernels))
        spec.kernels.push_back(read_kernel(item));
    if (spec.kernels.empty()) root.get("kernels").fail("is empty; list at least one kernel");
    for (const JsonValue& item : read_list(root, "tensor_maps", kMaxTensorMaps)) {
        spec.tensor_maps.push_back(read_tensor_map(item));
    }
}

const SourceFile* find_file(const std::vector<SourceFile>& files, std::string_view name) {
    const auto found =
        std::find_if(files.begin(), files.end(), [&](const SourceFile& file) { return file.name == name; });
    return found == files.end() ? nullptr : &*found;
}

TemplateSpec read_spec(std::vector<SourceFile> files, const std::string& where) {
    constexpr std::array<std::string_view, 2> kDevices{"cuda", "cpu"};
    const SourceFile* description = find_file(files, kTemplateFile);
    if (description == nullptr) {
        throw InputError(fmt::format("{}: no {} there; name a template folder", where, kTemplateFile));
    }
    const JsonObject root = parse_json(description->text, (fs::path(where) / kTemplateFile).string())
                                .object({"name", "device", "summary", "source", "min_arch", "max_arch", "parameters",
                                         "derived", "constraints", "kernels", "tensor_maps", "workspace"});
    TemplateSpec spec;
    spec.where = root.value().where();
    spec.name = root.get("name").line();
    spec.device = root.get("device").choice(kDevices) == 0 ? DeviceKind::cuda : DeviceKind::cpu;
    spec.summary = root.get("summary").line();
    spec.source = root.get("source").line();
    read_arch_range(root, spec);
    read_lists(root, spec);
    spec.workspace_bytes = {"0", spec.where};
    spec.workspace_clear_bytes = {"0", spec.where};
    if (const auto value = root.find("workspace")) {
        const JsonObject workspace = value->object({"bytes", "clear_bytes"});
        spec.workspace_bytes = read_expression(workspace.get("bytes"));
        spec.workspace_clear_bytes = expression_or(workspace, "clear_bytes", "0");
    }
    if (spec.source == kTemplateFile || find_file(files, spec.source) == nullptr) {
        root.get("source").fail(fmt::format("no file '{}' in {}; name the kernel's source there", spec.source, where));
    }
    spec.files = std::move(files);
    return spec;
}

}  // namespace

std::vector<SourceFile> read_template_files(const fs::path& folder) {
    std::vector<SourceFile> files;
    std::error_code error;
    fs::recursive_directory_iterator entry(folder, error);
    for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
        const fs::path& path = entry->path();
        const std::string base = path.filename().string();
        if (base.starts_with('.') || base.ends_with('~')) {
            if (entry->is_directory()) entry.disable_recursion_pending();
            continue;
        }
        if (entry->is_symlink()) {
            throw InputError(
                fmt::format("{}: is a symbolic link; a template holds its own files, so copy it", path.string()));
        }
        if (entry->is_directory()) continue;
        if (!entry->is_regular_file())
            throw InputError(fmt::format("{}: is not a regular file; remove it", path.string()));
        if (files.size() == kMaxTemplateFiles) {
            throw InputError(
                fmt::format("{}: more than {} files; is this a template folder?", folder.string(), kMaxTemplateFiles));
        }
        const std::string name = path.lexically_relative(folder).generic_string();
        if (name == kArgsHeader || name == kTuneHeader) {
            throw InputError(fmt::format("{}: the driver provides {}; remove this one", path.string(), name));
        }
        files.push_back({name, read_text_file(path, kMaxTemplateFileBytes)});
    }
    if (error)
        throw InputError(fmt::format("{}: cannot be read as a template folder: {}", folder.string(), error.message()));
    std::sort(files.begin(), files.end(), [](const SourceFile& a, const SourceFile& b) { return a.name < b.name; });
    return files;
}

KernelTemplate load_template(const fs::path& folder) {
    return make_template(read_template_files(folder), folder.string());
}

KernelTemplate make_template(std::vector<SourceFile> files, const std::string& where) {
    return KernelTemplate(read_spec(std::move(files), where));
}

}  // namespace attune
