#pragma once

#include <cstddef>
#include <memory>

namespace slipway {

/// As AllocateMemory, but given back to the system when it is freed: for what is replaced by something larger, whose
/// size will not be asked for again.
std::shared_ptr<std::byte> AllocateWorkspace(size_t bytes);

}  // namespace slipway
