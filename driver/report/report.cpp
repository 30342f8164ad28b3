#include "report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/space.h"
#include "core/verdict.h"
#include "report/chart_data.h"
#include "report/data.h"
#include "report/html.h"

namespace attune {
namespace embedded {
extern const std::string_view report_css;
extern const std::string_view report_js;
extern const std::string_view chart_js;
}  // namespace embedded

namespace {

constexpr std::size_t kMaxFailureGroups = 50;
constexpr std::size_t kMaxEffectRows = 60;

std::string ms_text(const std::optional<double>& value) {
    return value ? fmt::format("{:#.5g}", *value) : "-";
}

std::string percent(double share, int digits = 1) {
    return fmt::format("{:+.{}f} %", 100.0 * share, digits);
}

std::string plain_percent(double share) {
    return fmt::format("{:.1f} %", 100.0 * share);
}

std::string section(std::string_view id, std::string_view title, const std::string& body) {
    return fmt::format("<section id=\"{}\"><h2>{}</h2>\n{}</section>\n", id, html_escape(title), body);
}

std::string note(std::string_view text) {
    return fmt::format("<p class=\"note\">{}</p>\n", html_escape(text));
}

std::string canvas(std::string_view id, std::string_view what, std::string_view extra = "") {
    return fmt::format("<div class=\"chart{}\"><canvas id=\"{}\" role=\"img\" aria-label=\"{}\"></canvas></div>\n",
                       extra, id, html_escape(what));
}

std::string tile(const std::string& value, std::string_view what) {
    return fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n", html_escape(value), html_escape(what));
}

std::string name_of(const ReportData& data, const IterationRow& row) {
    return data.study.shards.size() > 1 ? fmt::format("{}:{}", row.shard.substr(0, 8), row.iter)
                                        : fmt::format("{}", row.iter);
}

std::int64_t count(const ReportData& data, Status status) {
    return std::ranges::count(data.rows, status, &IterationRow::status);
}

std::string tiles(const ReportData& data) {
    std::string body = "<div class=\"tiles\">\n";
    if (data.best) {
        const double best_ms = data.best->record.geomean_ms.value_or(0.0);
        body += tile(ms_text(best_ms) + " ms", fmt::format("best score, iteration {}", data.best->key.iter));
        if (data.first_kept) {
            const IterationRow& first = data.rows[*data.first_kept];
            body +=
                tile(fmt::format("{:.3g}×", first.geomean_ms.value_or(best_ms) / best_ms),
                     fmt::format("faster than iteration {}, {} ms", name_of(data, first), ms_text(first.geomean_ms)));
        }
        if (const auto floor = score_ms(data.floors)) {
            body += tile(plain_percent(*floor / best_ms), fmt::format("of the floor, {} ms", ms_text(floor)));
        }
    }
    body += tile(fmt::format("{}", data.rows.size()),
                 fmt::format("iterations: {} keep, {} discard, {} crash", count(data, Status::keep),
                             count(data, Status::discard), count(data, Status::crash)));
    const auto [first, last] = std::ranges::minmax_element(data.rows, {}, &IterationRow::finished_us);
    if (first != data.rows.end()) {
        const double hours = static_cast<double>(last->finished_us - first->finished_us) / 3.6e9;
        body += tile(hours < 1.0 ? fmt::format("{:.0f} min", 60.0 * hours) : fmt::format("{:.1f} h", hours),
                     "from the first to the last");
    }
    return body + "</div>\n";
}

std::string best_section(const ReportData& data, const std::string& db_option) {
    if (!data.best) return section("best", "Best kernel", note("No kernel has been kept yet."));
    const IterationRecord& record = data.best->record;
    const auto first = split_params(data.first_kept ? data.rows[*data.first_kept].params : std::string());
    std::string knobs;
    for (const auto& [name, value] : split_params(record.params)) {
        const auto before = std::ranges::find(first, name, &std::pair<std::string, std::string>::first);
        const bool changed = before != first.end() && before->second != value;
        knobs += fmt::format("<li{}><span>{}</span> <code>{}</code>{}</li>\n", changed ? " class=\"changed\"" : "",
                             html_escape(name), html_escape(value),
                             changed ? fmt::format(" <small>was {}</small>", html_escape(before->second)) : "");
    }
    std::string body =
        fmt::format("<p>{}</p>\n<ul class=\"knobs\">\n{}</ul>\n", html_escape(record.description), knobs);
    const std::string where = html_escape(fmt::format("--study {}{}", data.study.name, db_option));
    const std::string robust =
        !record.robust ? "They were not tried on the stress draws."
        : *record.robust
            ? "They pass the stress draws."
            : fmt::format(
                  "They do not pass every stress draw; <code>attune best --robust {}</code> names the best "
                  "that do.",
                  where);
    body += fmt::format(
        "<p class=\"note\">Marked: changed since the first kept kernel. {} Take it along: <code "
        "class=\"command\">attune export {} --to DIR</code></p>\n",
        robust, where);
    return section("best", "Best kernel", body);
}

std::string family_section(const ReportData& data) {
    static constexpr std::array kShort{"window", "global", "retrieval"};
    const bool known = data.limits.has_value();
    std::vector<std::string> header{"family", "first kept, ms", "best kernel, ms", "gain", "best of this family, ms"};
    if (known) header.insert(header.end(), {"floor, ms", "share of the floor"});
    HtmlTable table(header);
    for (std::size_t i = 0; i < kFamilies.size(); ++i) {
        const auto first = data.first_kept ? data.rows[*data.first_kept].family_ms[i] : std::nullopt;
        const auto best = data.best ? data.best->record.family_ms[i] : std::nullopt;
        table.row().text(kShort[i]).number(ms_text(first)).number(ms_text(best));
        table.number(first && best ? percent(*best / *first - 1.0) : "-").number(ms_text(data.best_family[i]));
        if (!known) continue;
        table.number(ms_text(data.floors[i]));
        table.number(data.floors[i] && best ? plain_percent(*data.floors[i] / *best) : "-");
    }
    std::string body = table.str() + canvas("families", "time of each family over the kept kernels", " small");
    body +=
        known
            ? note(fmt::format(
                  "Dashed: the floor, the larger of two times: multiplying every listed block whole at {:.0f} TFLOP/s "
                  "(bf16), and moving q, k, v and o once at {:.1f} TB/s, both measured on this device.",
                  data.limits->tflops, data.limits->terabytes_s))
            : note(fmt::format("No floor: nobody has measured the limits of '{}' for this page.", data.device));
    return section("family", "Families", body);
}

std::string top_section(const ReportData& data) {
    if (data.top.empty()) return section("top", "Top ten", note("Nothing has been timed yet."));
    HtmlTable table(
        {"iteration", "score, ms", "to the best", "window", "global", "retrieval", "status", "robust", "differs by"});
    const auto best = split_params(data.best ? data.best->record.params : std::string());
    const double best_ms =
        data.best ? data.best->record.geomean_ms.value_or(1.0) : *data.rows[data.top.front()].geomean_ms;
    for (const std::size_t index : data.top) {
        const IterationRow& row = data.rows[index];
        const bool same_source = data.best && row.template_hash == data.best->record.template_hash;
        std::string changes = same_source ? "" : "other source";
        for (const auto& setting : split_params(row.params)) {
            if (std::ranges::find(best, setting) != best.end()) continue;
            changes += fmt::format("{}{}={}", changes.empty() ? "" : ", ", setting.first, setting.second);
        }
        table.row().html(fmt::format("<a href=\"#iter-{}\">{}</a>", row.iter, html_escape(name_of(data, row))));
        table.number(ms_text(row.geomean_ms)).number(percent(*row.geomean_ms / best_ms - 1.0, 2));
        for (const auto& time : row.family_ms)
            table.number(ms_text(time));
        table.html(fmt::format("<span class=\"{0}\">{0}</span>", to_string(row.status)));
        table.text(!row.robust ? "-" : *row.robust ? "yes" : "no");
        table.code(changes.empty() ? "nothing: the best" : changes);
    }
    return section("top", "Top ten",
                   table.str() + note("By the score measured on its own, beside the best kept; which of two "
                                      "close ones is faster was decided by alternation, not by this order."));
}

std::string effects_section(const ReportData& data) {
    const Effects& effects = data.effects;
    if (effects.knobs.empty()) {
        return section("knobs", "What each parameter is worth",
                       note(fmt::format("Too few results yet: {} of at least {}.", effects.results, kFewestResults)));
    }
    HtmlTable table({"parameter", "best", "instead", "effect", "from", "to", "results"});
    std::size_t shown = 0;
    for (const KnobEffect& knob : effects.knobs) {
        for (const ValueEffect& value : knob.values) {
            if (++shown > kMaxEffectRows) break;
            table.row().text(knob.name).code(knob.best_value).code(value.value).number(percent(value.share));
            table.number(percent(value.low)).number(percent(value.high)).number(fmt::format("{}", value.results));
        }
    }
    std::string body = canvas("effects", "effect of each parameter value with its interval");
    body += note(
        fmt::format("Change of the time when one value replaces the best kernel's, fitted over {} results as a sum of "
                    "independent effects, with 95 % intervals; {} remain unexplained (interactions and noise). Results "
                    "stopped early count by the families they were timed on.",
                    effects.results, plain_percent(effects.unexplained)));
    return section("knobs", "What each parameter is worth",
                   body + "<details><summary>as a table</summary>" + table.str() + "</details>\n");
}

std::string failure_section(const ReportData& data, const std::string& db_option) {
    if (data.failures.empty()) return section("failures", "Failures", note("None."));
    HtmlTable table({"count", "outcome", "first line", "latest", "reproduce"});
    for (std::size_t i = 0; i < std::min(data.failures.size(), kMaxFailureGroups); ++i) {
        const FailureGroup& group = data.failures[i];
        table.row()
            .number(fmt::format("{}", group.count))
            .html(fmt::format("<span class=\"crash\">{}</span>", html_escape(group.outcome)));
        table.code(group.message).number(fmt::format("{}", group.latest_iter));
        const std::string command = group.reproduce.empty() ? "-" : group.reproduce + db_option;
        table.html(fmt::format("<code class=\"command\">{}</code>", html_escape(command)));
    }
    std::string body = table.str();
    if (data.failures.size() > kMaxFailureGroups) {
        body += note(fmt::format("{} rarer kinds are left out.", data.failures.size() - kMaxFailureGroups));
    }
    return section("failures", "Failures", body);
}

std::string noise_section(const ReportData& data) {
    std::vector<std::string> header{"case", "cold, ms", "warm, ms", "samples", "median known to", "spread of samples",
                                    "drift"};
    if (data.limits) header.emplace_back("floor, ms");
    HtmlTable table(header);
    for (const CaseNoise& item : data.noise) {
        table.row().text(item.case_id).number(ms_text(item.cold_ms)).number(ms_text(item.warm_ms));
        table.number(fmt::format("{}", item.samples)).number("±" + plain_percent(item.interval_share));
        table.number(plain_percent(item.spread_share));
        table.number(item.throttled ? "throttled" : item.drift_share == 0.0 ? "-" : percent(item.drift_share));
        if (data.limits) table.number(ms_text(item.floor_ms));
    }
    std::string body = data.noise.empty() ? note("Nothing has been timed yet.") : table.str();
    if (data.challenge_share) {
        body += note(fmt::format(
            "Alternating challenger and incumbent tells ratios apart to about ±{} (median of all alternations).",
            plain_percent(*data.challenge_share)));
    }
    if (data.repeat_share) {
        body += note(fmt::format("Candidates measured more than once disagree with themselves by {} (median).",
                                 plain_percent(*data.repeat_share)));
    }
    return section("noise", "Noise floor", body);
}

std::string environment_section(const ReportData& data) {
    HtmlTable table(
        {"device", "uuid", "driver", "compiler", "host", "attune", "iterations", "clock, MHz", "°C", "throttling"});
    for (const EnvironmentUse& use : data.environments) {
        table.row()
            .text(use.device)
            .code(use.uuid)
            .text(use.driver)
            .text(use.compiler)
            .text(use.host)
            .text(use.attune_version);
        table.number(fmt::format("{}", use.iterations))
            .number(use.clocks_mhz)
            .number(use.temperatures_c)
            .text(use.throttle_reasons);
    }
    return section("environment", "Environment", table.str());
}

constexpr std::string_view kStairs = R"(<div class="controls">
<button id="by-iteration" aria-pressed="true">by iteration</button><button id="by-time" aria-pressed="false">by time</button>
<span class="note" id="edge"></span></div>
)";

constexpr std::string_view kTable = R"(<div class="controls">
<input id="search" type="search" placeholder="words of parameters or description" aria-label="search">
<select id="status" aria-label="status"><option value="">all</option><option>keep</option><option>discard</option><option>crash</option></select>
<select id="order" aria-label="order"><option>oldest</option><option>newest</option><option>fastest</option></select>
<button id="before">‹</button><button id="after">›</button><span class="note" id="page"></span></div>
<div class="scroll"><table><thead><tr><th>iteration</th><th class="n">score</th><th class="n">delta</th><th class="n">window</th>
<th class="n">global</th><th class="n">retrieval</th><th>status</th><th>outcome</th><th>params</th><th>description</th></tr></thead>
<tbody id="rows"></tbody></table></div>
)";

constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'";

std::string head(const ReportData& data, const ReportOptions& options) {
    std::string text = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
    text += fmt::format("<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n", kPolicy);
    text += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
    if (options.refresh_s > 0) text += fmt::format("<meta http-equiv=\"refresh\" content=\"{}\">\n", options.refresh_s);
    text += fmt::format("<title>attune: {}</title>\n<style>\n", html_escape(data.study.name));
    text += embedded::report_css;
    return text + "</style>\n</head>\n";
}

std::string heading(const ReportData& data, const ReportOptions& options) {
    std::string text = fmt::format(
        "<header><h1>{}</h1>\n<p class=\"muted\">template {}, suite {}, on {}. Written {} by attune {}.</p>\n",
        html_escape(data.study.name), html_escape(data.study.template_name), html_escape(data.study.suite.name),
        html_escape(data.device), html_escape(options.generated_at), html_escape(options.attune_version));
    if (data.other_devices > 0) {
        text += note(fmt::format("{} iterations on other devices are left out: times of two devices do not compare.",
                                 data.other_devices));
    }
    return text +
           "</header>\n<noscript><p>The charts and the full table need JavaScript; all else is here.</p></noscript>\n";
}

}  // namespace

std::string report_html(const Reader& reader, const ReportOptions& options) {
    const ReportData data = collect(reader, options.study);
    std::string page = head(data, options) + "<body>\n<main>\n" + heading(data, options) + tiles(data);
    page += section("progress", "Progress",
                    std::string(kStairs) + canvas("stairs", "score of every iteration and the best kept"));
    page += family_section(data) + best_section(data, options.db_option) + top_section(data) + effects_section(data);
    page += failure_section(data, options.db_option) + noise_section(data) + environment_section(data);
    page += section("iterations", "All iterations", std::string(kTable));
    page += "</main>\n<script type=\"application/json\" id=\"data\">" + script_escape(chart_data_json(data)) +
            "</script>\n<script>\n";
    page += embedded::chart_js;
    page += "\n</script>\n<script>\n";
    page += embedded::report_js;
    return page + "</script>\n</body>\n</html>\n";
}

}  // namespace attune
