// `attune doctor`: what this machine can do, and for each lack the command that mends it.

#include <fmt/color.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/backends.h"
#include "cli/share.h"

namespace attune {
namespace {

Capability templates(const CliContext& context) {
    if (!context.share_dir.empty()) return {"templates and configs", true, context.share_dir.string(), ""};
    return {"templates and configs", false, "not found beside the binary, above it, or under share/attune",
            "export ATTUNE_SHARE=<folder with kernel_templates/ and configs/>, or run cmake --install"};
}

void print_text(const CliContext& context, const std::vector<Capability>& found) {
    context.out << "attune " << version_text() << '\n';
    for (const Capability& item : found) {
        const std::string mark = item.available ? "yes" : "no ";
        const auto style = !context.color ? fmt::text_style()
                                          : fg(item.available ? fmt::terminal_color::green : fmt::terminal_color::red);
        context.out << fmt::format("{}  {:<22} {}\n", fmt::format(style, "{}", mark), item.what, item.detail);
        if (!item.available) context.out << fmt::format("     {:<22} mend: {}\n", "", item.remedy);
    }
    context.out << fmt::format("sweeps run on: {}\n", usual_device(context) == DeviceKind::cuda ? "cuda" : "cpu");
}

void print_json(const CliContext& context, const std::vector<Capability>& found) {
    nlohmann::json list = nlohmann::json::array();
    for (const Capability& item : found) {
        list.push_back(
            {{"what", item.what}, {"available", item.available}, {"detail", item.detail}, {"remedy", item.remedy}});
    }
    const nlohmann::json page{{"version", version_text()},
                              {"capabilities", list},
                              {"device", usual_device(context) == DeviceKind::cuda ? "cuda" : "cpu"}};
    context.out << page.dump(2) << '\n';
}

}  // namespace

void add_doctor(CLI::App& app, const CliContext& context) {
    auto as_json = std::make_shared<bool>(false);
    CLI::App* command = app.add_subcommand("doctor", "what this machine can do, and how to mend what it lacks");
    command->add_flag("--json", *as_json, "as JSON");
    command->callback([as_json, &context] {
        std::vector<Capability> found = capabilities(context);
        found.push_back(templates(context));
        *as_json ? print_json(context, found) : print_text(context, found);
    });
}

}  // namespace attune
