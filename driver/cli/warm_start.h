// From the record of earlier studies to what a strategy is told before it is asked.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/space.h"
#include "search/strategy.h"
#include "store/reader.h"

namespace attune {

/// Trials of earlier studies, each study and device an origin of its own.
class EarlierStudies {
  public:
    /// `template_name`: only its studies count; `space`: whose candidates they become.
    EarlierStudies(std::string template_name, const Space& space)
        : template_(std::move(template_name)), space_(space) {}

    /// Adds what the database holds of the template on whatever device and suite, but for the study `except`. Rows
    /// whose parameters this space does not know are left out. Returns how many studies had rows to give.
    std::size_t add(const std::filesystem::path& database, const std::string& except = {});

    [[nodiscard]] const std::vector<Trial>& trials() const { return trials_; }

  private:
    std::size_t add_study(const Reader& reader, const std::string& study);

    std::string template_;
    const Space& space_;
    std::vector<Trial> trials_;
    std::uint32_t origins_ = 0;
};

}  // namespace attune
