#include "file_space.h"

#include <fcntl.h>
#include <linux/falloc.h>

#include <cerrno>

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

}  // namespace syncline
