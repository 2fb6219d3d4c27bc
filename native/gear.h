// The search for the cuts between a file's chunks (src/content/gear.ts, where the same is written in JavaScript).
#pragma once

#include <node_api.h>

namespace syncline {

// findCut(bytes, gear, first, from, to, mask): the position after the first byte of [from, to) at which the hash, begun at `first`,
// has no bit of `mask`; 0 if none. `gear`: an Int32Array of 256. 0 <= first <= from and
// to <= bytes.length, else it throws EINVAL.
napi_value FindCut(napi_env env, napi_callback_info info);

}  // namespace syncline
