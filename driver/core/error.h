// The two exceptions of the program. A candidate's failure is never one of them: that is data (see outcome.h).
#pragma once

#include <stdexcept>
#include <string>

namespace attune {

/// What a person wrote is wrong (a file, a flag, a constraint). Exit code 2; the text says what, where, and what to
/// write instead, on one line.
class InputError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// What the machine lacks (device, compiler, space, permission). Exit code 3; the text says what, where, and what to
/// do, on one line.
class EnvironmentError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

}  // namespace attune
