// What folder sync does to many files in one turn of the thread pool (batch.h).
#pragma once

#include <node_api.h>

namespace syncline {

// readFiles(directory, paths, sizes, buffer): the files' bytes one after the other into the buffer. A promise of a row for each (see
// beneath_calls.h), all zeros where the file could not be read, or was not as long, or changed meanwhile.
napi_value ReadFiles(napi_env env, napi_callback_info info);
// bareFiles(directory, paths, all): a promise of a number for each, 1 where it certainly has no access list and no user.* attributes, or
// with `all` none of any space but system.*; 0 where it has, or could not be looked at.
napi_value BareFiles(napi_env env, napi_callback_info info);
// createFiles(directory, names, contents, attributes, synced): new files by names in that directory. Attributes are, for each: mode,
// whether it gets an owner, uid, gid, mtime's seconds and nanoseconds. A promise of a row for each. `synced`: 0, each file is durable by then;
// 1, so it is, and one sync of the filesystem may do that where it is known to; 2, nothing is synced.
napi_value CreateFiles(napi_env env, napi_callback_info info);
// placeFiles(root, directory, names, paths, marks): what has these names in that directory to free paths beneath the root, in turn, until one
// cannot be placed. Right behind each a dot is written to the descriptor `marks`, unless that is negative. A promise of a row for each that
// was placed, all zeros where nothing is there any more.
napi_value PlaceFiles(napi_env env, napi_callback_info info);
// syncFilesystem(directory): all that was written to the filesystem of that directory, durable. Rejects with ENOTSUP where syncfs(2) may not do that.
napi_value SyncFilesystem(napi_env env, napi_callback_info info);

}  // namespace syncline
