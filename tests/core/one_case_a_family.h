// Suites of tests that care for the loop or a kernel, and not for what is tuned.
#pragma once

#include <string>
#include <utility>

#include "core/workload.h"

namespace attune {

/// One case a family, named by it and otherwise as `like`.
inline Suite one_case_a_family(std::string name, CaseSpec like) {
    Suite suite{std::move(name), {}};
    for (const Family family : kFamilies) {
        like.case_id = to_string(family);
        like.family = family;
        suite.cases.push_back(like);
    }
    return suite;
}

}  // namespace attune
