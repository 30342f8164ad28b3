// Inputs and references of the cases of a suite, made when first used and kept while memory allows.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "backend/cpu/guarded_buffer.h"
#include "core/reference.h"
#include "core/workload.h"

namespace attune::cpu {

/// Everything a kernel reads in one draw of a case, in unwritable memory.
class MaterialisedDraw {
  public:
    /// EnvironmentError when the machine has no room for it.
    MaterialisedDraw(const CaseSpec& spec, Draw draw);

    [[nodiscard]] const AttentionInputs& inputs() const { return inputs_; }
    /// Computed at the first call.
    [[nodiscard]] const AttentionOutput& reference();

  private:
    PageBuffer pages_;
    AttentionInputs inputs_;
    std::unique_ptr<const AttentionOutput> reference_;
};

/// Bytes of a materialised draw, its reference included.
[[nodiscard]] std::int64_t draw_bytes(const CaseSpec& spec);

/// The most recently used draws of a suite, within a budget of memory; the one in use is never dropped.
class DrawCache {
  public:
    DrawCache(std::vector<CaseSpec> cases, std::int64_t budget_bytes)
        : cases_(std::move(cases)), budget_bytes_(budget_bytes) {}

    [[nodiscard]] const std::vector<CaseSpec>& cases() const { return cases_; }
    /// Valid until the next call.
    [[nodiscard]] MaterialisedDraw& get(std::size_t case_index, Draw draw);

  private:
    struct Entry {
        std::size_t case_index;
        Draw draw;
        std::unique_ptr<MaterialisedDraw> content;
    };
    void make_room(std::int64_t bytes);

    std::vector<CaseSpec> cases_;
    std::int64_t budget_bytes_;
    std::int64_t used_bytes_ = 0;
    std::list<Entry> entries_;  ///< most recently used first
};

}  // namespace attune::cpu
