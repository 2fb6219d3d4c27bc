// open, mount and umount2 as JavaScript functions.
#pragma once

#include <node_api.h>

namespace syncline {

// openDevice(): a descriptor of /dev/fuse. Throws with `errno`.
napi_value OpenDevice(napi_env env, napi_callback_info info);

// mount(source, target, type, flags, data): mount(2). Paths are byte strings. Throws with `errno`.
napi_value Mount(napi_env env, napi_callback_info info);

// openAbort(target): a descriptor of the file in fusectl that aborts the connection of what was just mounted there. Asks the
// mount itself nothing. Throws with `errno`.
napi_value OpenAbort(napi_env env, napi_callback_info info);

// close(descriptor): close(2), for what was opened here: in a worker, Node.js's own warns of descriptors that it does not know.
napi_value Close(napi_env env, napi_callback_info info);
// socketPair(): two connected sockets.
napi_value SocketPair(napi_env env, napi_callback_info info);
// receiveDescriptor(socket): a descriptor that another process sent through it (SCM_RIGHTS), without blocking.
napi_value ReceiveDescriptor(napi_env env, napi_callback_info info);
// sendDescriptors(socket, first, second, third): sends them to another process (SCM_RIGHTS) with a newline. Throws with `errno`.
napi_value SendDescriptors(napi_env env, napi_callback_info info);
// keepFromChildren(descriptor): keeps programs that this process starts from inheriting it.
napi_value KeepFromChildren(napi_env env, napi_callback_info info);

// unmount(target, flags): Promise of 0 or an errno. Off the calling thread, because unmounting may ask the filesystem to
// write pages first, which that thread answers.
napi_value Unmount(napi_env env, napi_callback_info info);
// writeBack(target): Promise of 0 or an errno. Has the kernel send all dirty pages of shared mappings in this mount, and after them
// one request more. Off the calling thread, which answers all of them.
napi_value WriteBack(napi_env env, napi_callback_info info);

}  // namespace syncline
