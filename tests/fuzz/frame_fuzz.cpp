#include <nlohmann/json.hpp>

#include "fuzz/fuzz.h"
#include "worker/channel.h"
#include "worker/codec.h"

namespace attune::fuzz {
namespace {

// A value that was accepted must survive being sent on.
template <class T>
void read_as(const nlohmann::json& message) {
    try {
        const T value = message.get<T>();
        const nlohmann::json again = value;
        static_cast<void>(again.get<T>());
    } catch (const nlohmann::json::exception&) {
        // What the link turns into a Failure.
    }
}

void read_as_everything(const nlohmann::json& message) {
    read_as<CompileJob>(message);
    read_as<Artifact>(message);
    read_as<Variant>(message);
    read_as<Suite>(message);
    read_as<Draw>(message);
    read_as<CheckReport>(message);
    read_as<SampleRequest>(message);
    read_as<Samples>(message);
    read_as<PairedSamples>(message);
    read_as<TargetFacts>(message);
    read_as<EnvironmentFacts>(message);
    try {
        const auto failure = message.get<Failure>();
        require(!to_string(failure.outcome).empty(), "an outcome has a name");
    } catch (const nlohmann::json::exception&) {
        // As above.
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Frame frame = decode_frame(data, size);
    const auto* message = std::get_if<nlohmann::json>(&frame);
    if (message == nullptr) return 0;
    require(message->is_object(), "a frame is an object");
    read_as_everything(*message);
    for (const auto& [key, value] : message->items())
        read_as_everything(value);
    return 0;
}

}  // namespace attune::fuzz
