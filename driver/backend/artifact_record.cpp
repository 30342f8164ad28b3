#include "backend/artifact_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/sha256.h"

namespace attune {
namespace {

using nlohmann::json;

}  // namespace

std::string hash_sources(const std::vector<SourceFile>& sources) {
    Sha256 sha;
    for (const SourceFile& source : sources) {
        sha.update_field(source.name);
        sha.update_field(source.text);
    }
    return sha.hex();
}

const SourceFile& find_main_source(const CompileJob& job) {
    const auto found = std::ranges::find(job.sources, job.main_source, &SourceFile::name);
    if (found == job.sources.end()) throw InputError(fmt::format("the sources hold no file '{}'", job.main_source));
    return *found;
}

std::string to_meta(const Artifact& artifact) {
    json kernels = json::array();
    for (const KernelResources& kernel : artifact.kernels) {
        kernels.push_back({{"entry", kernel.entry},
                           {"registers", kernel.registers},
                           {"shared_bytes", kernel.shared_bytes},
                           {"spill_store_bytes", kernel.spill_store_bytes},
                           {"spill_load_bytes", kernel.spill_load_bytes},
                           {"stack_bytes", kernel.stack_bytes}});
    }
    const json meta{
        {"log", artifact.log}, {"performance_warning", artifact.performance_warning}, {"kernels", std::move(kernels)}};
    return meta.dump(-1, ' ', true, json::error_handler_t::replace);
}

bool from_meta(const std::string& meta, Artifact& artifact) {
    Artifact complete = artifact;
    try {
        const json parsed = json::parse(meta);
        complete.log = parsed.at("log").get<std::string>();
        complete.performance_warning = parsed.at("performance_warning").get<bool>();
        for (const json& kernel : parsed.at("kernels")) {
            complete.kernels.push_back({kernel.at("entry").get<std::string>(), kernel.at("registers").get<int>(),
                                        kernel.at("shared_bytes").get<int>(), kernel.at("spill_store_bytes").get<int>(),
                                        kernel.at("spill_load_bytes").get<int>(), kernel.at("stack_bytes").get<int>()});
        }
    } catch (const json::exception&) {
        return false;
    }
    artifact = std::move(complete);
    return true;
}

}  // namespace attune
