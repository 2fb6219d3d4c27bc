#include "file_times.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "values.h"

namespace syncline {

napi_value SetModified(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "setModified");
  const std::string path = arguments.Bytes(0);
  timespec times[2] = {};
  times[0].tv_nsec = UTIME_OMIT;
  times[1] = arguments.Time(1);
  if (arguments.Threw()) return nullptr;
  if (utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0) return nullptr;
  return ThrowErrno(env, "utimensat", errno);
}

}  // namespace syncline
