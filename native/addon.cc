// The addon's functions: mechanism for a FUSE mount, times that Node.js cannot set, and a loop that JavaScript is slow at. What to
// mount, and what to answer, is decided in src/fuse/.
#include <node_api.h>
#include <unistd.h>

#include "beneath.h"
#include "beneath_batch.h"
#include "file_space.h"
#include "file_times.h"
#include "gear.h"
#include "layout.h"
#include "memory.h"
#include "mounting.h"
#include "page_cache.h"
#include "session.h"
#include "values.h"

NAPI_MODULE_INIT() {
  using syncline::Define;
  Define(env, exports, "openDevice", syncline::OpenDevice, nullptr);
  Define(env, exports, "mount", syncline::Mount, nullptr);
  Define(env, exports, "openAbort", syncline::OpenAbort, nullptr);
  Define(env, exports, "close", syncline::Close, nullptr);
  Define(env, exports, "socketPair", syncline::SocketPair, nullptr);
  Define(env, exports, "receiveDescriptor", syncline::ReceiveDescriptor, nullptr);
  Define(env, exports, "sendDescriptors", syncline::SendDescriptors, nullptr);
  Define(env, exports, "keepFromChildren", syncline::KeepFromChildren, nullptr);
  Define(env, exports, "unmount", syncline::Unmount, nullptr);
  Define(env, exports, "writeBack", syncline::WriteBack, nullptr);
  Define(env, exports, "createMountMemory", syncline::MountMemory, nullptr);
  Define(env, exports, "serve", syncline::Serve, nullptr);
  Define(env, exports, "setModified", syncline::SetModified, nullptr);
  Define(env, exports, "freeRange", syncline::FreeRange, nullptr);
  Define(env, exports, "dataFrom", syncline::DataFrom, nullptr);
  Define(env, exports, "readCached", syncline::ReadCached, nullptr);
  Define(env, exports, "openBeneath", syncline::OpenBeneath, nullptr);
  Define(env, exports, "statAt", syncline::StatAt, nullptr);
  Define(env, exports, "listAt", syncline::ListAt, nullptr);
  Define(env, exports, "readLinkAt", syncline::ReadLinkAt, nullptr);
  Define(env, exports, "makeDirectoryAt", syncline::MakeDirectoryAt, nullptr);
  Define(env, exports, "symlinkAt", syncline::SymlinkAt, nullptr);
  Define(env, exports, "linkAt", syncline::LinkAt, nullptr);
  Define(env, exports, "renameAt", syncline::RenameAt, nullptr);
  Define(env, exports, "unlinkAt", syncline::UnlinkAt, nullptr);
  Define(env, exports, "setModeOf", syncline::SetModeOf, nullptr);
  Define(env, exports, "setOwnerAt", syncline::SetOwnerAt, nullptr);
  Define(env, exports, "setModifiedAt", syncline::SetModifiedAt, nullptr);
  Define(env, exports, "listXattrs", syncline::ListXattrs, nullptr);
  Define(env, exports, "getXattr", syncline::GetXattr, nullptr);
  Define(env, exports, "setXattr", syncline::SetXattr, nullptr);
  Define(env, exports, "removeXattr", syncline::RemoveXattr, nullptr);
  Define(env, exports, "readFiles", syncline::ReadFiles, nullptr);
  Define(env, exports, "bareFiles", syncline::BareFiles, nullptr);
  Define(env, exports, "createFiles", syncline::CreateFiles, nullptr);
  Define(env, exports, "placeFiles", syncline::PlaceFiles, nullptr);
  Define(env, exports, "syncFilesystem", syncline::SyncFilesystem, nullptr);
  Define(env, exports, "boundMemory", syncline::BoundMemory, nullptr);
  Define(env, exports, "trimMemory", syncline::TrimMemory, nullptr);
  Define(env, exports, "startSession", syncline::StartSession, nullptr);
  Define(env, exports, "keepAllFromChildren", syncline::KeepAllFromChildren, nullptr);
  Define(env, exports, "findCut", syncline::FindCut, nullptr);
  napi_set_named_property(env, exports, "pageBytes", syncline::Number(env, static_cast<double>(sysconf(_SC_PAGESIZE))));
  napi_set_named_property(env, exports, "layoutVersion", syncline::Number(env, syncline::kLayoutVersion));
  return exports;
}
