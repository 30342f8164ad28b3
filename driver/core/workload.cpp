#include "core/workload.h"

#include <algorithm>

namespace attune {

std::string_view to_string(Family family) {
    switch (family) {
        case Family::sliding_window:
            return "sliding_window";
        case Family::sliding_window_global:
            return "sliding_window_global";
        case Family::sliding_window_retrieval:
            return "sliding_window_retrieval";
    }
    return "?";
}

std::string_view to_string(Stress stress) {
    switch (stress) {
        case Stress::none:
            return "none";
        case Stress::peaked:
            return "peaked";
        case Stress::large_v:
            return "large_v";
        case Stress::seq_len_1:
            return "seq_len_1";
        case Stress::seq_len_127:
            return "seq_len_127";
        case Stress::seq_len_128:
            return "seq_len_128";
        case Stress::seq_len_129:
            return "seq_len_129";
        case Stress::seq_len_t_max:
            return "seq_len_t_max";
    }
    return "?";
}

StressRule stress_rule(Stress stress, int t_max) {
    StressRule rule;
    switch (stress) {
        case Stress::none:
            break;
        case Stress::peaked:
            rule.q_factor = 3.0F;
            break;
        case Stress::large_v:
            rule.v_factor = 64.0F;
            rule.atol_factor = 64.0F;
            break;
        case Stress::seq_len_1:
            rule.forced_seq_len = 1;
            break;
        case Stress::seq_len_127:
            rule.forced_seq_len = 127;
            break;
        case Stress::seq_len_128:
            rule.forced_seq_len = 128;
            break;
        case Stress::seq_len_129:
            rule.forced_seq_len = 129;
            break;
        case Stress::seq_len_t_max:
            rule.forced_seq_len = t_max;
            break;
    }
    rule.forced_seq_len = std::min(rule.forced_seq_len, t_max);
    return rule;
}

}  // namespace attune
