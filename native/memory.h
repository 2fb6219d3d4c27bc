// Memory that the process no longer uses goes back to the system.
#pragma once

#include <node_api.h>

namespace syncline {

// trimMemory(): malloc_trim(3). glibc keeps freed memory for later; a mount that has just published a large file is idle next.
napi_value TrimMemory(napi_env env, napi_callback_info info);

}  // namespace syncline
