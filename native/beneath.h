// Calls on files beneath a directory that never lead out of it, for folder sync.
#pragma once

#include <node_api.h>

namespace syncline {

// openBeneath(directory, path, flags, mode): openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS; a descriptor.
napi_value OpenBeneath(napi_env env, napi_callback_info info);
// statAt(directory, name): a row of numbers (see beneath.cc), or undefined where nothing is. Of a link its own; "" is the directory.
napi_value StatAt(napi_env env, napi_callback_info info);
// listAt(directory): [names, rows one after the other]. A row of zeros: the system does not
// tell what it is. ENOKEY if the directory is encrypted and locked.
napi_value ListAt(napi_env env, napi_callback_info info);
napi_value ReadLinkAt(napi_env env, napi_callback_info info);
napi_value MakeDirectoryAt(napi_env env, napi_callback_info info);
napi_value SymlinkAt(napi_env env, napi_callback_info info);
napi_value LinkAt(napi_env env, napi_callback_info info);
// renameAt(directory, name, directory, name, flags): renameat2(2).
napi_value RenameAt(napi_env env, napi_callback_info info);
napi_value UnlinkAt(napi_env env, napi_callback_info info);
// setModeOf(descriptor, mode), also of one that was opened with O_PATH.
napi_value SetModeOf(napi_env env, napi_callback_info info);
napi_value SetOwnerAt(napi_env env, napi_callback_info info);
// setModifiedAt(directory, name, seconds, nanoseconds); of a link its own.
napi_value SetModifiedAt(napi_env env, napi_callback_info info);
// Attributes of a descriptor, also of one that was opened with O_PATH. A missing value is undefined.
napi_value ListXattrs(napi_env env, napi_callback_info info);
napi_value GetXattr(napi_env env, napi_callback_info info);
napi_value SetXattr(napi_env env, napi_callback_info info);
napi_value RemoveXattr(napi_env env, napi_callback_info info);

}  // namespace syncline
