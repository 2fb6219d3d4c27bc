#include "mounting.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>

#include "values.h"

namespace syncline {
namespace {

struct UnmountWork {
  std::string target;
  int flags;
  int error = 0;
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
};

void RunUnmount(napi_env, void* data) {
  auto* unmount = static_cast<UnmountWork*>(data);
  unmount->error = umount2(unmount->target.c_str(), unmount->flags) == 0 ? 0 : errno;
}

void FinishUnmount(napi_env env, napi_status status, void* data) {
  std::unique_ptr<UnmountWork> unmount(static_cast<UnmountWork*>(data));
  napi_resolve_deferred(env, unmount->deferred, Number(env, status == napi_ok ? unmount->error : ECANCELED));
  napi_delete_async_work(env, unmount->work);
}

}  // namespace

napi_value OpenDevice(napi_env env, napi_callback_info) {
  const int device = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  return device < 0 ? ThrowErrno(env, "/dev/fuse", errno) : Number(env, device);
}

napi_value Mount(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  const std::string source = arguments.Bytes(0), target = arguments.Bytes(1), type = arguments.Bytes(2);
  const std::string data = arguments.Bytes(4);
  const auto flags = static_cast<unsigned long>(arguments.Number(3));
  if (mount(source.c_str(), target.c_str(), type.c_str(), flags, data.c_str()) == 0) return nullptr;
  return ThrowErrno(env, "mount", errno);
}

napi_value Unmount(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  auto unmount = std::make_unique<UnmountWork>();
  unmount->target = arguments.Bytes(0);
  unmount->flags = static_cast<int>(arguments.Number(1));
  napi_value promise, name;
  napi_create_promise(env, &unmount->deferred, &promise);
  napi_create_string_utf8(env, "syncline:unmount", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(env, nullptr, name, RunUnmount, FinishUnmount, unmount.get(), &unmount->work);
  napi_queue_async_work(env, unmount->work);
  unmount.release();
  return promise;
}

}  // namespace syncline
