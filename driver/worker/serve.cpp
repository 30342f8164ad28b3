#include "worker/serve.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "worker/codec.h"
#include "worker/deadline.h"

namespace attune {
namespace {

constexpr double kForever_s = 1e8;

nlohmann::json failure_reply(Outcome outcome, const std::exception& error) {
    return {{"failure", Failure{outcome, error.what()}}, {"poisoned", true}};
}

// Calls `answer` on every request. A broken environment is an answer of its own, because it is the coordinator who
// tells people; whatever else is thrown (no memory left, a kernel that throws) is the candidate's `outcome`.
void serve(Channel channel, Outcome outcome, const std::function<nlohmann::json(const nlohmann::json&)>& answer) {
    for (;;) {
        Frame frame = channel.receive(deadline_after(kForever_s));
        const auto* request = std::get_if<nlohmann::json>(&frame);
        if (request == nullptr) return;
        nlohmann::json reply;
        try {
            reply = answer(*request);
        } catch (const EnvironmentError& error) {
            reply = {{"environment", error.what()}};
        } catch (const ArtifactMissing&) {
            reply = {{"artifact_missing", true}};
        } catch (const std::filesystem::filesystem_error& error) {
            reply = {{"environment", error.what()}};
        } catch (const std::exception& error) {
            reply = failure_reply(outcome, error);
        }
        if (!channel.send(reply)) return;
    }
}

template <class T>
nlohmann::json as_reply(const Result<T>& result, const ServedDevice& served) {
    if (result.ok()) return {{"value", result.value()}};
    return {{"failure", result.failure()}, {"poisoned", served.poisoned()}};
}

nlohmann::json answer_device(ServedDevice& served, const nlohmann::json& request) {
    Device& device = *served.device;
    const auto op = request.at("op").get<std::string>();
    const auto slot = [&] { return request.at("slot").get<Slot>(); };
    const auto case_index = [&] { return request.at("case").get<std::size_t>(); };
    if (op == "target") return {{"value", device.target()}};
    if (op == "environment") return {{"value", device.environment()}};
    if (op == "open_suite") {
        device.open_suite(request.at("suite").get<Suite>());
        return {{"value", true}};
    }
    if (op == "load") return as_reply(device.load(slot(), request.at("variant").get<Variant>()), served);
    if (op == "check") return as_reply(device.check(slot(), case_index(), request.at("draw").get<Draw>()), served);
    if (op == "time") {
        return as_reply(device.time(slot(), case_index(), request.at("request").get<SampleRequest>()), served);
    }
    if (op == "pair") return as_reply(device.pair(case_index(), request.at("pairs").get<int>()), served);
    throw EnvironmentError("the worker was asked for '" + op + "', which this version does not know");
}

}  // namespace

void serve_compiler(Channel channel, const std::function<std::unique_ptr<Compiler>()>& make) {
    std::unique_ptr<Compiler> compiler;
    serve(std::move(channel), Outcome::compile_error, [&](const nlohmann::json& request) -> nlohmann::json {
        if (!compiler) compiler = make();
        const Result<Artifact> result = compiler->compile(request.at("job").get<CompileJob>());
        if (result.ok()) return {{"value", result.value()}};
        return {{"failure", result.failure()}, {"poisoned", false}};
    });
}

void serve_device(Channel channel, const std::function<ServedDevice()>& make) {
    ServedDevice served;
    serve(std::move(channel), Outcome::crash, [&](const nlohmann::json& request) {
        if (!served.device) served = make();
        return answer_device(served, request);
    });
}

}  // namespace attune
