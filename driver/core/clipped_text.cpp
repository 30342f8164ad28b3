#include "core/clipped_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace attune {

void ClippedText::append(std::string_view part) {
    const std::size_t first = std::min(part.size(), half_ - beginning_.size());
    beginning_ += part.substr(0, first);
    part.remove_prefix(first);
    if (part.size() > half_) {
        left_out_ += end_.size() + part.size() - half_;
        end_ = part.substr(part.size() - half_);
        return;
    }
    end_ += part;
    if (end_.size() <= 2 * half_) return;
    left_out_ += end_.size() - half_;
    end_.erase(0, end_.size() - half_);
}

std::string ClippedText::text() const {
    const std::size_t surplus = end_.size() - std::min(end_.size(), half_);
    const std::uintmax_t left_out = left_out_ + surplus;
    if (left_out == 0) return beginning_ + end_;
    return fmt::format("{}\n... {} bytes left out ...\n{}", beginning_, left_out,
                       std::string_view(end_).substr(surplus));
}

std::string clip_log(std::string_view text) {
    ClippedText clipped(kMostLogBytes);
    clipped.append(text);
    return clipped.text();
}

}  // namespace attune
