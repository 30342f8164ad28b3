// A worker process that is a shell and says whatever the test wants on the channel.
#pragma once

#include <fmt/format.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "worker/codec.h"
#include "worker/process.h"

namespace attune::testing {

/// Shell words that write `bytes` to the channel.
inline std::string say_bytes(const std::vector<std::uint8_t>& bytes) {
    std::string octal;
    for (const std::uint8_t byte : bytes)
        octal += fmt::format("\\{:03o}", byte);
    return fmt::format("printf '{}' >&3;", octal);
}

inline std::string say_frame(std::vector<std::uint8_t> body) {
    const auto size = static_cast<std::uint32_t>(body.size());
    std::vector<std::uint8_t> frame(sizeof size);
    std::memcpy(frame.data(), &size, sizeof size);
    frame.insert(frame.end(), body.begin(), body.end());
    return say_bytes(frame);
}

inline std::string say(const nlohmann::json& message) {
    return say_frame(nlohmann::json::to_cbor(message));
}

inline const std::string kWait = "sleep 1000;";

inline WorkerCommand shell(const std::string& script) {
    WorkerCommand command;
    command.executable = "/bin/sh";
    command.arguments = {"-c", script};
    return command;
}

inline nlohmann::json target_answer() {
    return {{"value", TargetFacts{.kind = DeviceKind::cpu, .arch = 0, .arch_name = "native"}}};
}

}  // namespace attune::testing
