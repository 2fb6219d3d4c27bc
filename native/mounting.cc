#include "mounting.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "values.h"

namespace syncline {
namespace {

// What is done with a mount off the calling thread.
struct MountWork {
  // Returns 0 or an errno.
  int (*run)(const char* target, int flags);
  std::string target;
  int flags = 0;
  int error = 0;
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
};

void RunWork(napi_env, void* data) {
  auto* work = static_cast<MountWork*>(data);
  work->error = work->run(work->target.c_str(), work->flags);
}

void FinishWork(napi_env env, napi_status status, void* data) {
  std::unique_ptr<MountWork> work(static_cast<MountWork*>(data));
  napi_resolve_deferred(env, work->deferred, Number(env, status == napi_ok ? work->error : ECANCELED));
  napi_delete_async_work(env, work->work);
}

napi_value Queue(napi_env env, const char* name, std::unique_ptr<MountWork> work) {
  napi_value promise, resource;
  napi_create_promise(env, &work->deferred, &promise);
  napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &resource);
  napi_create_async_work(env, nullptr, resource, RunWork, FinishWork, work.get(), &work->work);
  napi_queue_async_work(env, work->work);
  work.release();
  return promise;
}

int DoUnmount(const char* target, int flags) { return umount2(target, flags) == 0 ? 0 : errno; }

// On FUSE, syncfs(2) may return before the writes are answered. But the kernel sends them before any later request, hence fstatfs.
int DoWriteBack(const char* target, int) {
  const int root = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return errno;
  struct statfs unused;
  const int error = syncfs(root) == 0 && fstatfs(root, &unused) == 0 ? 0 : errno;
  close(root);
  return error;
}

// fsopen(2), fsconfig(2), fsmount(2) of Linux 5.2, which the headers of older C libraries lack: one number on every architecture.
constexpr long kFsopen = 430, kFsconfig = 431, kFsmount = 432;
constexpr unsigned kCloseOnExec = 1, kCreate = 6;

// The control filesystem of FUSE, mounted for whoever holds the descriptor; negative where that is refused.
int OpenControl() {
  const int context = static_cast<int>(syscall(kFsopen, "fusectl", kCloseOnExec));
  if (context < 0) return -1;
  const bool made = syscall(kFsconfig, context, kCreate, nullptr, nullptr, 0) == 0;
  const int control = made ? static_cast<int>(syscall(kFsmount, context, kCloseOnExec, 0)) : -1;
  close(context);
  return control;
}

}  // namespace

napi_value OpenDevice(napi_env env, napi_callback_info) {
  const int device = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  return device < 0 ? ThrowErrno(env, "/dev/fuse", errno) : Number(env, device);
}

napi_value Mount(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "mount");
  const std::string source = arguments.Bytes(0), target = arguments.Bytes(1), type = arguments.Bytes(2);
  const auto flags = arguments.Whole<unsigned long>(3);
  const std::string data = arguments.Bytes(4);
  if (arguments.Threw()) return nullptr;
  if (mount(source.c_str(), target.c_str(), type.c_str(), flags, data.c_str()) == 0) return nullptr;
  return ThrowErrno(env, "mount", errno);
}

napi_value OpenAbort(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "openAbort");
  const std::string target = arguments.Bytes(0);
  if (arguments.Threw()) return nullptr;
  struct statx root;
  // Nobody serves the mount yet: only what the kernel knows by itself is asked for.
  if (statx(AT_FDCWD, target.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &root) != 0) {
    return ThrowErrno(env, "statx", errno);
  }
  const std::string name = std::to_string(root.stx_dev_minor) + "/abort";
  int file = open(("/sys/fs/fuse/connections/" + name).c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) {
    const int control = OpenControl();
    if (control < 0) return ThrowErrno(env, "fusectl", errno);
    file = openat(control, name.c_str(), O_WRONLY | O_CLOEXEC);
    const int error = errno;
    close(control);
    if (file < 0) return ThrowErrno(env, "fusectl", error);
  }
  return Number(env, file);
}

napi_value SocketPair(napi_env env, napi_callback_info) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return ThrowErrno(env, "socketpair", errno);
  napi_value pair;
  napi_create_array_with_length(env, 2, &pair);
  for (uint32_t i = 0; i < 2; i++) napi_set_element(env, pair, i, Number(env, ends[i]));
  return pair;
}

napi_value ReceiveDescriptor(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "receiveDescriptor");
  const int socket = arguments.Descriptor(0);
  if (arguments.Threw()) return nullptr;
  char byte;
  iovec data = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0) return ThrowErrno(env, "recvmsg", errno);
  const cmsghdr* head = CMSG_FIRSTHDR(&message);
  if (!head || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(sizeof(int))) {
    return ThrowErrno(env, "recvmsg", ENOMSG);
  }
  int descriptor;
  std::memcpy(&descriptor, CMSG_DATA(head), sizeof descriptor);
  const int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0) return ThrowErrno(env, "fcntl", errno);
  return Number(env, descriptor);
}

napi_value SendDescriptors(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "sendDescriptors");
  const int socket = arguments.Descriptor(0);
  const int sent[] = {arguments.Descriptor(1), arguments.Descriptor(2), arguments.Descriptor(3)};
  if (arguments.Threw()) return nullptr;
  char line[] = "\n";
  iovec data = {line, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof sent)] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof sent);
  std::memcpy(CMSG_DATA(head), sent, sizeof sent);
  return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? ThrowErrno(env, "sendmsg", errno) : nullptr;
}

napi_value KeepFromChildren(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "keepFromChildren");
  const int descriptor = arguments.Descriptor(0);
  if (arguments.Threw()) return nullptr;
  return fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 ? nullptr : ThrowErrno(env, "fcntl", errno);
}

napi_value Close(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "close");
  const int descriptor = arguments.Descriptor(0);
  if (arguments.Threw()) return nullptr;
  close(descriptor);
  return nullptr;
}

napi_value Unmount(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "unmount");
  auto work = std::make_unique<MountWork>();
  work->run = DoUnmount;
  work->target = arguments.Bytes(0);
  work->flags = arguments.Whole<int>(1);
  if (arguments.Threw()) return nullptr;
  return Queue(env, "syncline:unmount", std::move(work));
}

napi_value WriteBack(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "writeBack");
  auto work = std::make_unique<MountWork>();
  work->run = DoWriteBack;
  work->target = arguments.Bytes(0);
  if (arguments.Threw()) return nullptr;
  return Queue(env, "syncline:write-back", std::move(work));
}

}  // namespace syncline
