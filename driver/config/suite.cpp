#include "config/suite.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "attune/attn_args.h"
#include "config/built_in.h"
#include "config/json_reader.h"
#include "core/error.h"
#include "core/suggest.h"

namespace attune {
namespace {

/// Far above any case of use, far below where 32-bit arithmetic ends.
constexpr std::int64_t kMaxCount = 1 << 24;
/// One tensor takes 256 bytes a token and head: 16 GiB.
constexpr std::int64_t kMaxTokens = std::int64_t{1} << 26;
/// col_idx takes 4 bytes a listed block: 1 GiB.
constexpr std::int64_t kMaxListedBlocks = std::int64_t{1} << 28;

int count(const JsonValue& value, std::int64_t min) {
    return static_cast<int>(value.integer(min, kMaxCount));
}

int count_or(const JsonObject& object, std::string_view key, int fallback) {
    return static_cast<int>(object.integer_or(key, fallback, 0, kMaxCount));
}

Family parse_family(const JsonValue& value) {
    std::array<std::string_view, kFamilies.size()> names;
    std::transform(kFamilies.begin(), kFamilies.end(), names.begin(), [](Family family) { return to_string(family); });
    return kFamilies[value.choice(names)];
}

int parse_t_max(const JsonValue& value) {
    const int t_max = count(value, kBlockSize);
    if (t_max % kBlockSize != 0) {
        value.fail(fmt::format("must be a multiple of {}, got {}; the nearest is {}", kBlockSize, t_max,
                               (t_max + kBlockSize / 2) / kBlockSize * kBlockSize));
    }
    return t_max;
}

double parse_min_ratio(const JsonObject& object, double fallback) {
    const double ratio = object.number_or("seq_len_min_ratio", fallback, 0.0, 1.0);
    if (ratio == 0.0) object.get("seq_len_min_ratio").fail("must be greater than 0");
    return ratio;
}

/// Refuses a case whose tensors or lists no machine would hold, before anything tries to allocate them.
void check_size(const CaseSpec& spec, const JsonValue& value) {
    const std::int64_t heads = std::int64_t{spec.batch_size} * spec.num_heads;
    if (heads > kMaxTokens / spec.t_max) {
        value.fail(fmt::format("batch_size * num_heads * t_max is {} * {} * {}, must be at most {} (16 GiB a tensor)",
                               spec.batch_size, spec.num_heads, spec.t_max, kMaxTokens));
    }
    if (heads > kMaxListedBlocks / max_nnz_bound(spec)) {
        value.fail(
            fmt::format("its mask could list {} blocks for each of {} heads, must be at most {} in all; lower "
                        "window_blocks, global_blocks, retrieval_blocks or t_max",
                        max_nnz_bound(spec), heads, kMaxListedBlocks));
    }
}

CaseSpec parse_case(const JsonValue& item) {
    CaseSpec spec;
    // The case is named in every message, so its name is read before its keys are checked.
    if (!item.is_object()) item.fail("must be an object with case_id, family, batch_size, num_heads, t_max, …");
    JsonValue value = item;
    for (const auto& [key, member] : item.members()) {
        if (key == "case_id") value = item.labelled(fmt::format("case '{}'", member.line()));
    }
    const JsonObject object =
        value.object({"case_id", "family", "batch_size", "num_heads", "t_max", "window_blocks", "global_blocks",
                      "retrieval_blocks", "retrieval_local_bias", "seq_len_min_ratio", "seed", "profile"});
    spec.case_id = object.get("case_id").line();
    spec.family = parse_family(object.get("family"));
    spec.batch_size = count(object.get("batch_size"), 1);
    spec.num_heads = count(object.get("num_heads"), 1);
    spec.t_max = parse_t_max(object.get("t_max"));
    spec.window_blocks = count(object.get("window_blocks"), 1);
    spec.global_blocks = count_or(object, "global_blocks", spec.global_blocks);
    spec.retrieval_blocks = count_or(object, "retrieval_blocks", spec.retrieval_blocks);
    spec.retrieval_local_bias = object.number_or("retrieval_local_bias", spec.retrieval_local_bias, 0.0, 1.0);
    spec.seq_len_min_ratio = parse_min_ratio(object, spec.seq_len_min_ratio);
    spec.seed = object.uint64_or("seed", spec.seed);
    spec.profile = object.text_or("profile", spec.profile);
    check_size(spec, value);
    return spec;
}

Suite parse_cases(const JsonValue& root, std::string name) {
    Suite suite{std::move(name), {}};
    std::set<std::string> seen;
    if (!root.is_list()) root.fail("must be a list of cases");
    for (const JsonValue& item : root.items()) {
        CaseSpec spec = parse_case(item);
        if (!seen.insert(spec.case_id).second) {
            item.fail(fmt::format("case_id '{}' is taken by an earlier case", spec.case_id));
        }
        suite.cases.push_back(std::move(spec));
    }
    if (suite.cases.empty()) root.fail("must list at least one case");
    return suite;
}

}  // namespace

Suite load_suite(const std::filesystem::path& path) {
    return parse_cases(read_json_file(path), path.stem().string());
}

Suite parse_suite(std::string_view json, const std::string& where) {
    return parse_cases(parse_json(json, where), std::filesystem::path(where).stem().string());
}

Suite find_suite(const std::string& name_or_path, const std::filesystem::path& share_dir) {
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::path folder = share_dir / "configs" / "suites";
    const bool bare_name = fs::path(name_or_path).filename() == name_or_path && !name_or_path.ends_with(".json");
    if (!bare_name || fs::is_regular_file(name_or_path, error)) return load_suite(name_or_path);
    if (fs::exists(folder / (name_or_path + ".json"), error)) return load_suite(folder / (name_or_path + ".json"));

    const std::vector<std::string> names = built_in_names(folder);
    const std::vector<std::string_view> views(names.begin(), names.end());
    throw InputError(fmt::format("no suite named '{}' in {}, nor a file of that name{}", name_or_path, folder.string(),
                                 name_hint(name_or_path, views)));
}

}  // namespace attune
