// Compiles CPU templates with the system compiler into shared objects.
#pragma once

#include <filesystem>
#include <string>

#include "backend/artifact_cache.h"
#include "backend/backend.h"
#include "backend/cpu/system_compiler.h"

namespace attune {

class CpuCompiler : public Compiler {
  public:
    /// Finds the compiler (see cpu::find_system_compiler for `preferred`).
    CpuCompiler(ArtifactCache cache, const std::string& preferred);

    /// First line of the compiler's --version.
    [[nodiscard]] const std::string& version() const { return compiler_.version; }

    /// A shared object for this machine's own instruction set. The compiler's errors, or its death, are a Failure.
    [[nodiscard]] Result<Artifact> compile(const CompileJob& job) override;

  private:
    [[nodiscard]] std::string key_of(const CompileJob& job, const Artifact& artifact) const;
    [[nodiscard]] Result<Artifact> build(const CompileJob& job, const std::string& key, Artifact artifact,
                                         const std::filesystem::path& scratch) const;

    ArtifactCache cache_;
    cpu::SystemCompiler compiler_;
    std::string cpu_identity_;
};

}  // namespace attune
