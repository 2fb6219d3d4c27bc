#include "gear.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "values.h"

namespace syncline {
namespace {

constexpr size_t kWindowBytes = 32;
constexpr size_t kGearWords = 256;

uint32_t Next(uint32_t hash, const uint32_t* gear, uint8_t byte) { return (hash << 1) + gear[byte]; }

size_t Find(const uint8_t* bytes, const uint32_t* gear, size_t first, size_t from, size_t to, uint32_t mask) {
  uint32_t hash = 0;
  // Older bytes are shifted out, so a search goes on from the last 32 bytes.
  for (size_t at = std::max(first + kWindowBytes, from) - kWindowBytes; at < from; at++) hash = Next(hash, gear, bytes[at]);
  for (size_t at = from; at < to; at++) {
    hash = Next(hash, gear, bytes[at]);
    if ((hash & mask) == 0) return at + 1;
  }
  return 0;
}

struct Elements {
  bool is_array = false;
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* data = nullptr;

  Elements(napi_env env, napi_value array) {
    is_array = napi_get_typedarray_info(env, array, &type, &length, &data, nullptr, nullptr) == napi_ok;
  }
};

}  // namespace

napi_value FindCut(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "findCut");
  const Elements bytes(env, arguments[0]);
  const Elements gear(env, arguments[1]);
  const auto first = arguments.Whole<int64_t>(2), from = arguments.Whole<int64_t>(3), to = arguments.Whole<int64_t>(4);
  const auto mask = static_cast<uint32_t>(arguments.Whole<int64_t>(5));
  if (arguments.Threw()) return nullptr;
  const bool is_valid = bytes.is_array && bytes.type == napi_uint8_array && gear.is_array && gear.type == napi_int32_array &&
                        gear.length == kGearWords && first >= 0 && first <= from && to <= static_cast<int64_t>(bytes.length);
  if (!is_valid) return ThrowErrno(env, "findCut", EINVAL);
  if (from >= to) return Number(env, 0);
  const size_t cut = Find(static_cast<const uint8_t*>(bytes.data), static_cast<const uint32_t*>(gear.data),
                          static_cast<size_t>(first), static_cast<size_t>(from), static_cast<size_t>(to), mask);
  return Number(env, static_cast<double>(cut));
}

}  // namespace syncline
