#pragma once

/// Marks what the shared library offers; all else in it is hidden.
#define SLIPWAY_EXPORT __attribute__((visibility("default")))
