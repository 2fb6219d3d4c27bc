// Reads that never wait for a disk, as a JavaScript function.
#pragma once

#include <node_api.h>

namespace syncline {

// readCached(fd, offset, bytes): fills `bytes` from the file's pages in memory; returns how many it could, from the first on: 0
// also if the filesystem cannot say what is in memory. Throws with `errno`.
napi_value ReadCached(napi_env env, napi_callback_info info);

}  // namespace syncline
