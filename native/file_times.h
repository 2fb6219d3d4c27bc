// utimensat as a JavaScript function.
#pragma once

#include <node_api.h>

namespace syncline {

// setModified(path, seconds, nanoseconds): sets a file's mtime, of a symlink its own; the atime stays. Seconds and the
// nanoseconds beyond them are whole numbers. The path is a byte string. Throws with `errno`.
napi_value SetModified(napi_env env, napi_callback_info info);

}  // namespace syncline
