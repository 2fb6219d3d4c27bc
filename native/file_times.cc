#include "file_times.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "values.h"

namespace syncline {

napi_value SetModified(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  const std::string path = arguments.Bytes(0);
  timespec times[2] = {};
  times[0].tv_nsec = UTIME_OMIT;
  times[1].tv_sec = static_cast<time_t>(arguments.Number(1));
  times[1].tv_nsec = static_cast<long>(arguments.Number(2));
  if (utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0) return nullptr;
  return ThrowErrno(env, "utimensat", errno);
}

}  // namespace syncline
