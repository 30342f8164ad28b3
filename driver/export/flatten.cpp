#include "export/flatten.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <string_view>

#include "core/error.h"

namespace attune {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxBytes = 8U << 20U;

/// Which lines of a file begin outside comments and literals that span lines: only there is a # a directive.
class LineScanner {
  public:
    /// Whether `line`, the next of the file, begins as code; moves on behind it.
    bool begins_as_code(std::string_view line) {
        const bool result = state_ == State::code;
        for (std::size_t i = 0; i < line.size();)
            i = step(line, i);
        return result;
    }

  private:
    enum class State { code, comment, raw_string };

    /// Reads what begins at `line[i]`; returns where the next thing begins.
    std::size_t step(std::string_view line, std::size_t i) {
        switch (state_) {
            case State::comment:
                return leave(line, i, "*/");
            case State::raw_string:
                return leave(line, i, raw_end_);
            case State::code:
                break;
        }
        const std::string_view rest = line.substr(i);
        if (rest.starts_with("//")) return line.size();
        if (rest.starts_with("/*")) {
            state_ = State::comment;
            return i + 2;
        }
        if (rest.starts_with("R\"") && rest.find('(') != std::string_view::npos) {
            raw_end_ = fmt::format("){}\"", rest.substr(2, rest.find('(') - 2));
            state_ = State::raw_string;
            return i + rest.find('(') + 1;
        }
        // A ' between digits groups them.
        const bool separator =
            rest.front() == '\'' && i > 0 && std::isxdigit(static_cast<unsigned char>(line[i - 1])) != 0;
        if (rest.front() == '"' || (rest.front() == '\'' && !separator)) return end_of_literal(line, i);
        return i + 1;
    }
    std::size_t leave(std::string_view line, std::size_t i, std::string_view mark) {
        const std::size_t end = line.find(mark, i);
        if (end == std::string_view::npos) return line.size();
        state_ = State::code;
        return end + mark.size();
    }
    static std::size_t end_of_literal(std::string_view line, std::size_t i) {
        const char quote = line[i];
        for (++i; i < line.size() && line[i] != quote; ++i) {
            if (line[i] == '\\') ++i;
        }
        return i + 1;
    }

    State state_ = State::code;
    std::string raw_end_;
};

std::string guard_of(const std::string& name) {
    std::string guard = "ATTUNE_INLINED_";
    for (const char c : name)
        guard += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
    return guard;
}

class Flattener {
  public:
    explicit Flattener(const std::vector<SourceFile>& bundle) {
        for (const SourceFile& file : bundle)
            files_.emplace(file.name, &file.text);
    }

    std::string run(const std::string& main_source) {
        const auto found = files_.find(main_source);
        if (found == files_.end()) throw InputError(fmt::format("the sources hold no file '{}'", main_source));
        append(main_source, *found->second, 0);
        return std::move(output_);
    }

  private:
    void append(const std::string& name, std::string_view text, int depth) {
        if (depth > kMaxDepth || output_.size() > kMaxBytes) {
            throw InputError(fmt::format("'{}' is included without end; give it a `#pragma once`", name));
        }
        static const std::regex include(R"re(^[ \t]*#[ \t]*include[ \t]*"([^"]+)".*)re");
        static const std::regex once(R"(^[ \t]*#[ \t]*pragma[ \t]+once\b.*)");
        static const std::regex condition(R"(^[ \t]*#[ \t]*(if|ifdef|ifndef|endif)\b.*)");
        LineScanner scanner;
        while (!text.empty()) {
            const std::size_t end = std::min(text.find('\n'), text.size());
            const std::string line(text.substr(0, end));
            text.remove_prefix(std::min(end + 1, text.size()));
            std::smatch match;
            const bool directive = scanner.begins_as_code(line) && line.find('#') != std::string::npos;
            if (directive && std::regex_match(line, once)) continue;
            if (directive && std::regex_match(line, match, include) && append_include(name, match[1].str(), depth))
                continue;
            if (directive && std::regex_match(line, match, condition)) conditions_ += match[1] == "endif" ? -1 : 1;
            output_ += line;
            output_ += '\n';
        }
    }

    /// False when the bundle has no such file.
    bool append_include(const std::string& from, const std::string& written, int depth) {
        const auto beside = (std::filesystem::path(from).parent_path() / written).lexically_normal().generic_string();
        auto found = files_.find(beside);
        if (found == files_.end())
            found = files_.find(std::filesystem::path(written).lexically_normal().generic_string());
        if (found == files_.end()) return false;
        const std::string& name = found->first;
        const std::string& text = *found->second;
        const bool once = text.find("#pragma once") != std::string::npos;
        if (once && (done_.contains(name) || open_.contains(name))) return true;
        const bool guarded = once && (conditions_ > 0 || guarded_.contains(name));
        if (once && conditions_ == 0) done_.insert(name);
        if (guarded) output_ += fmt::format("#ifndef {0}\n#define {0}\n", guard_of(name));
        output_ += fmt::format("// ---- {} ----\n", name);
        conditions_ += guarded ? 1 : 0;
        const bool opened = open_.insert(name).second;
        append(name, text, depth + 1);
        if (opened) open_.erase(name);
        conditions_ -= guarded ? 1 : 0;
        output_ += fmt::format("// ---- end of {} ----\n", name);
        if (guarded) output_ += "#endif\n";
        if (guarded) guarded_.insert(name);
        return true;
    }

    std::map<std::string, const std::string*> files_;
    std::set<std::string> done_;     ///< taken in on every path: later includes of them vanish
    std::set<std::string> guarded_;  ///< taken in on some path
    std::set<std::string> open_;
    int conditions_ = 0;  ///< #if nesting of the output
    std::string output_;
};

}  // namespace

std::string flatten(const std::vector<SourceFile>& bundle, const std::string& main_source) {
    return Flattener(bundle).run(main_source);
}

}  // namespace attune
