// fallocate as a JavaScript function.
#pragma once

#include <node_api.h>

namespace syncline {

// freeRange(fd, offset, length): gives the disk space of a part of a file back; its bytes then read as zeros, and the
// file's size stays. Throws with `errno`: EOPNOTSUPP where the filesystem cannot.
napi_value FreeRange(napi_env env, napi_callback_info info);

}  // namespace syncline
