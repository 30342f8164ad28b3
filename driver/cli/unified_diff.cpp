// Shortest edit script by E. Myers, "An O(ND) Difference Algorithm and Its Variations", 1986, greedy form.

#include "cli/unified_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace attune {
namespace {

using Lines = std::vector<std::string_view>;

constexpr std::ptrdiff_t kContext = 3;
// The trace takes edits^2 words. Beyond this the middle is written as one replacement: still right, no longer shortest.
constexpr std::ptrdiff_t kMostEdits = 2000;

struct Edit {
    enum class Kind { same, remove, add } kind;
    std::string_view line;
};

Lines split_lines(std::string_view text) {
    Lines lines;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
        lines.push_back(text.substr(0, end));
        text.remove_prefix(end);
    }
    return lines;
}

/// Furthest-reaching end points on the diagonals -edits … edits, after each number of edits.
using Trace = std::vector<std::vector<std::ptrdiff_t>>;

std::ptrdiff_t size_of(const Lines& lines) {
    return static_cast<std::ptrdiff_t>(lines.size());
}

std::string_view at(const Lines& lines, std::ptrdiff_t index) {
    return lines[static_cast<std::size_t>(index)];
}

/// Whether the path to diagonal k came from above (an addition), given the end points one edit earlier.
bool came_by_adding(const std::vector<std::ptrdiff_t>& ends, std::ptrdiff_t edits, std::ptrdiff_t k) {
    const auto end = [&](std::ptrdiff_t diagonal) { return ends[static_cast<std::size_t>(diagonal + edits)]; };
    return k == -edits || (k != edits && end(k - 1) < end(k + 1));
}

/// Empty when more than kMostEdits are needed. Row d is indexed by diagonal + d + 1 (one spare on either side).
Trace find_edits(const Lines& a, const Lines& b) {
    Trace trace;
    std::vector<std::ptrdiff_t> previous{0, 0, 0};
    for (std::ptrdiff_t edits = 0; edits <= std::min(kMostEdits, size_of(a) + size_of(b)); ++edits) {
        std::vector<std::ptrdiff_t> ends(static_cast<std::size_t>(2 * edits + 3), -1);
        for (std::ptrdiff_t k = -edits; k <= edits; k += 2) {
            const auto before = [&](std::ptrdiff_t diagonal) {
                return previous[static_cast<std::size_t>(diagonal + edits)];
            };
            std::ptrdiff_t x = 0;
            if (edits > 0) x = came_by_adding(previous, edits, k) ? before(k + 1) : before(k - 1) + 1;
            while (x < size_of(a) && x - k < size_of(b) && at(a, x) == at(b, x - k))
                ++x;
            ends[static_cast<std::size_t>(k + edits + 1)] = x;
            if (x >= size_of(a) && x - k >= size_of(b)) {
                trace.push_back(std::move(ends));
                return trace;
            }
        }
        trace.push_back(ends);
        previous = std::move(ends);
    }
    return {};
}

void walk_back(const Trace& trace, const Lines& a, const Lines& b, std::vector<Edit>& edits) {
    std::vector<Edit> reversed;
    std::ptrdiff_t x = size_of(a);
    std::ptrdiff_t y = size_of(b);
    for (auto d = static_cast<std::ptrdiff_t>(trace.size()) - 1; d >= 0; --d) {
        std::ptrdiff_t previous_x = 0;
        std::ptrdiff_t previous_y = 0;
        if (d > 0) {
            const auto& ends = trace[static_cast<std::size_t>(d - 1)];
            const std::ptrdiff_t k = x - y;
            const std::ptrdiff_t from = came_by_adding(ends, d, k) ? k + 1 : k - 1;
            previous_x = ends[static_cast<std::size_t>(from + d)];
            previous_y = previous_x - from;
        }
        while (x > previous_x && y > previous_y) {
            reversed.push_back({Edit::Kind::same, at(a, --x)});
            --y;
        }
        if (d == 0) break;
        if (x > previous_x) reversed.push_back({Edit::Kind::remove, at(a, --x)});
        if (y > previous_y) reversed.push_back({Edit::Kind::add, at(b, --y)});
    }
    edits.insert(edits.end(), reversed.rbegin(), reversed.rend());
}

std::vector<Edit> edit_script(const Lines& a, const Lines& b) {
    std::vector<Edit> edits;
    const auto [a_end, b_end] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
    for (auto line = a.begin(); line != a_end; ++line)
        edits.push_back({Edit::Kind::same, *line});
    const auto tail =
        std::mismatch(a.rbegin(), std::make_reverse_iterator(a_end), b.rbegin(), std::make_reverse_iterator(b_end));
    const Lines middle_a(a_end, tail.first.base());
    const Lines middle_b(b_end, tail.second.base());
    const Trace trace = find_edits(middle_a, middle_b);
    if (!trace.empty()) {
        walk_back(trace, middle_a, middle_b, edits);
    } else {
        for (const std::string_view line : middle_a)
            edits.push_back({Edit::Kind::remove, line});
        for (const std::string_view line : middle_b)
            edits.push_back({Edit::Kind::add, line});
    }
    for (auto line = tail.first.base(); line != a.end(); ++line)
        edits.push_back({Edit::Kind::same, *line});
    return edits;
}

/// `start,count` as `diff -u` counts: from one; an empty range names the line before it.
std::string range_text(std::size_t start, std::size_t count) {
    if (count == 1) return fmt::format("{}", start + 1);
    return fmt::format("{},{}", count == 0 ? start : start + 1, count);
}

struct Counts {
    std::size_t a = 0;
    std::size_t b = 0;

    void pass(Edit::Kind kind) {
        if (kind != Edit::Kind::add) ++a;
        if (kind != Edit::Kind::remove) ++b;
    }
};

void print_hunk(const std::vector<Edit>& edits, std::size_t first, std::size_t last, Counts& at, std::string& out) {
    Counts size;
    for (std::size_t i = first; i < last; ++i)
        size.pass(edits[i].kind);
    out += fmt::format("@@ -{} +{} @@\n", range_text(at.a, size.a), range_text(at.b, size.b));
    for (std::size_t i = first; i < last; ++i) {
        constexpr char kMarks[] = {' ', '-', '+'};
        out += kMarks[static_cast<std::size_t>(edits[i].kind)];
        out += edits[i].line;
        if (!edits[i].line.ends_with('\n')) out += "\n\\ No newline at end of file\n";
        at.pass(edits[i].kind);
    }
}

}  // namespace

std::string unified_diff(const std::string& before, const std::string& after, const std::string& before_name,
                         const std::string& after_name) {
    if (before == after) return {};
    const std::vector<Edit> edits = edit_script(split_lines(before), split_lines(after));
    std::string out = fmt::format("--- {}\n+++ {}\n", before_name, after_name);
    Counts at;
    std::size_t position = 0;
    const auto next_change = [&](std::size_t from) {
        while (from < edits.size() && edits[from].kind == Edit::Kind::same)
            ++from;
        return from;
    };
    for (std::size_t change = next_change(0); change < edits.size();) {
        const std::size_t first = std::max(position, change - std::min<std::size_t>(change, kContext));
        std::size_t last = change;
        // A hunk goes on while the next change is near enough for their contexts to touch.
        for (std::size_t next = change; next < edits.size() && next <= last + 2 * kContext; next = next_change(last)) {
            last = next + 1;
        }
        change = next_change(last);
        last = std::min<std::size_t>(edits.size(), last + kContext);
        for (; position < first; ++position)
            at.pass(edits[position].kind);
        print_hunk(edits, first, last, at, out);
        position = last;
    }
    return out;
}

}  // namespace attune
