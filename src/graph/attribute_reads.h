#pragma once

#include <set>
#include <string>
#include <string_view>

#include "graph/graph.h"

namespace slipway {

/// Notes which attributes of one node are asked for on this thread while it lives. What an operator never asks for, it
/// does not have.
class AttributeReads {
 public:
  explicit AttributeReads(const Attributes& watched);
  ~AttributeReads();
  AttributeReads(const AttributeReads&) = delete;
  AttributeReads& operator=(const AttributeReads&) = delete;

  /// Called by Attributes for each name that it is asked for.
  static void Note(const Attributes* asked, std::string_view name);
  /// The name of an attribute that the node has and nobody asked for; empty where there is none.
  std::string_view Unread() const;

 private:
  const Attributes& watched_;
  AttributeReads* const outer_;
  std::set<std::string, std::less<>> names_;
};

}  // namespace slipway
