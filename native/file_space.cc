#include "file_space.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "filesystem_kind.h"
#include "values.h"

namespace syncline {

napi_value FreeRange(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "freeRange");
  const int file = arguments.Descriptor(0);
  const off_t offset = arguments.Whole<off_t>(1, 0);
  const off_t length = arguments.Whole<off_t>(2, 1);
  if (arguments.Threw()) return nullptr;
  int result = 0;
  do {
    result = fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? nullptr : ThrowErrno(env, "fallocate", errno);
}

napi_value DataFrom(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "dataFrom");
  const int file = arguments.Descriptor(0);
  const off_t offset = arguments.Whole<off_t>(1, 0);
  if (arguments.Threw()) return nullptr;
  off_t data = offset;
  // Others may report unwritten data as a hole: OpenZFS did so until 2.2.2.
  if (IsOnKnownFilesystem(file)) {
    const off_t found = lseek(file, offset, SEEK_DATA);
    struct stat stat;
    if (found >= 0) {
      data = found;
    } else if (errno == ENXIO && fstat(file, &stat) == 0) {
      data = std::max(offset, stat.st_size);
    }
  }
  return Number(env, static_cast<double>(data));
}

}  // namespace syncline
