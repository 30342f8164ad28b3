// Values of the backend seam as CBOR-ready JSON, for crossing a process border. CBOR keeps NaN, infinities and float
// samples exact, which JSON text would not. Every from_json throws nlohmann::json::exception for what is no such value.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "backend/backend.h"

namespace attune {

void from_json(const nlohmann::json& json, Outcome& value);
void from_json(const nlohmann::json& json, Family& value);
void from_json(const nlohmann::json& json, Stress& value);
void from_json(const nlohmann::json& json, DeviceKind& value);
void from_json(const nlohmann::json& json, Slot& value);
void from_json(const nlohmann::json& json, TensorMapPlan::Tensor& value);
void to_json(nlohmann::json& json, const CompileJob& job);
void from_json(const nlohmann::json& json, CompileJob& job);
void to_json(nlohmann::json& json, const Artifact& artifact);
void from_json(const nlohmann::json& json, Artifact& artifact);
void to_json(nlohmann::json& json, const Variant& variant);
void from_json(const nlohmann::json& json, Variant& variant);
void to_json(nlohmann::json& json, const Suite& suite);
void from_json(const nlohmann::json& json, Suite& suite);
void to_json(nlohmann::json& json, const Draw& draw);
void from_json(const nlohmann::json& json, Draw& draw);
void to_json(nlohmann::json& json, const CheckReport& report);
void from_json(const nlohmann::json& json, CheckReport& report);
void to_json(nlohmann::json& json, const SampleRequest& request);
void from_json(const nlohmann::json& json, SampleRequest& request);
void to_json(nlohmann::json& json, const Samples& samples);
void from_json(const nlohmann::json& json, Samples& samples);
void to_json(nlohmann::json& json, const PairedSamples& samples);
void from_json(const nlohmann::json& json, PairedSamples& samples);
void to_json(nlohmann::json& json, const TargetFacts& facts);
void from_json(const nlohmann::json& json, TargetFacts& facts);
void to_json(nlohmann::json& json, const EnvironmentFacts& facts);
void from_json(const nlohmann::json& json, EnvironmentFacts& facts);
void to_json(nlohmann::json& json, const Failure& failure);
void from_json(const nlohmann::json& json, Failure& failure);

}  // namespace attune
