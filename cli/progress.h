#pragma once

#include <string>

namespace slipway::cli {

/// A bar on stderr, where that is a terminal; it is wiped away at the end.
class Progress {
 public:
  explicit Progress(std::string label);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// `done` from 0 to 1. Cheap to call often: draws when the percentage changes.
  void Show(double done);

 private:
  std::string label_;
  bool terminal_;
  int percent_ = -1;
};

}  // namespace slipway::cli
