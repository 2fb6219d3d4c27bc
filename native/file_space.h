// fallocate and lseek as JavaScript functions.
#pragma once

#include <node_api.h>

namespace syncline {

// freeRange(fd, offset, length): frees the disk space of a part of a file. Its bytes then read as zeros; the file keeps its
// size. Throws with `errno`: EOPNOTSUPP if the filesystem has no holes.
napi_value FreeRange(napi_env env, napi_callback_info info);
// dataFrom(fd, offset): where the first byte from `offset` on lies that may not be zero; the file's end if there is none, but
// never before `offset`. `offset` itself if the filesystem cannot tell.
napi_value DataFrom(napi_env env, napi_callback_info info);

}  // namespace syncline
