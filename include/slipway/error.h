#pragma once

#include <stdexcept>
#include <string>

#include "slipway/export.h"

namespace slipway {

/// What kind of thing went wrong. The names are those of the C API and of Python's exception classes.
enum class Code {
  kInvalidArgument,  ///< The caller passed a name, type, shape or option that does not fit.
  kBadFile,          ///< The file cannot be read, or is not a model.
  kBadGraph,         ///< The file is readable, but the model in it breaks the specification.
  kUnsupported,      ///< The model is valid, but holds what this build does not run.
  kRuntime,          ///< Data met in a run made a step impossible (an index out of range, say).
  kOutOfMemory,      ///< An allocation failed, or a memory cap would be passed.
  kCancelled,        ///< The run was stopped by its caller or its deadline.
};

/// The one error type. The message has one to three lines: what is wrong, where (model, node, value), what to do.
class SLIPWAY_EXPORT Error : public std::runtime_error {
 public:
  Error(Code code, const std::string& message) : std::runtime_error(message), code_(code) {}
  Code code() const { return code_; }

 private:
  Code code_;
};

}  // namespace slipway
