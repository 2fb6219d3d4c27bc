// What the kernel asks, decoded into cells. No state, no N-API.
#pragma once

#include <cstddef>
#include <string_view>

#include "kernel.h"

namespace syncline {

// One request as read from the device.
struct Request {
  const fuse_in_header* header;
  const char* body;
  const char* end;

  size_t BodyBytes() const { return static_cast<size_t>(end - body); }
};

enum class Outcome {
  kRow,           // the row is filled; the request's bytes are not needed any more
  kRowWithBytes,  // the row is filled and points into the request's bytes
  kAnswer,        // to be answered with `error` without asking JavaScript
};

struct Decoded {
  Outcome outcome;
  int error = 0;
  int nameCount = 0;
  std::string_view names[2];
};

// `length` is at least that of a header.
Request ParseRequest(const char* bytes, size_t length);

// Fills the request's part of `row`. Offsets of bytes are relative to `input`. A request that is shorter than what it says is answered
// with EINVAL.
Decoded DecodeRequest(const Request& request, const char* input, double* row);

}  // namespace syncline
