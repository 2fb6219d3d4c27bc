#include "page_cache.h"

#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "values.h"

namespace syncline {
namespace {

// Files of a tmpfs are in memory, but it does not take RWF_NOWAIT.
bool IsInMemory(int file) {
  struct statfs filesystem;
  return fstatfs(file, &filesystem) == 0 && filesystem.f_type == TMPFS_MAGIC;
}

ssize_t ReadNow(int file, off_t offset, iovec part) {
  const ssize_t read = preadv2(file, &part, 1, offset, RWF_NOWAIT);
  if (read >= 0) return read;
  if (errno == EAGAIN || errno == ENOSYS) return 0;
  if (errno != EOPNOTSUPP) return -1;
  return IsInMemory(file) ? pread(file, part.iov_base, part.iov_len, offset) : 0;
}

}  // namespace

napi_value ReadCached(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "readCached");
  const int file = arguments.Descriptor(0);
  const off_t offset = arguments.Whole<off_t>(1, 0);
  const Arguments::Span bytes = arguments.Buffer(2);
  if (arguments.Threw()) return nullptr;
  const ssize_t read = ReadNow(file, offset, {bytes.data, bytes.length});
  return read < 0 ? ThrowErrno(env, "preadv2", errno) : Number(env, static_cast<double>(read));
}

}  // namespace syncline
