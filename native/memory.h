// Calls for the process as a whole: returning unused memory to the system, starting a session, and what its children inherit.
#pragma once

#include <node_api.h>

namespace syncline {

// boundMemory(): mallopt(3). Freed memory goes back sooner, and is not kept by every thread for itself.
napi_value BoundMemory(napi_env env, napi_callback_info info);

// trimMemory(): malloc_trim(3). glibc keeps freed memory for later; a mount that has just published a large file is idle next.
napi_value TrimMemory(napi_env env, napi_callback_info info);

// startSession(): setsid(2). The leader of a process group keeps its session.
napi_value StartSession(napi_env env, napi_callback_info info);

// keepAllFromChildren(): close_range(2), Linux 5.11. Of what is open now, children inherit the standard streams only.
napi_value KeepAllFromChildren(napi_env env, napi_callback_info info);

}  // namespace syncline
