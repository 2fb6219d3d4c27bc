#include "beneath.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "beneath_calls.h"
#include "encryption.h"
#include "values.h"

namespace syncline {

namespace {

// As linux/openat2.h has them: the header is younger than some systems that can do it.
struct OpenHow {
  uint64_t flags;
  uint64_t mode;
  uint64_t resolve;
};
constexpr long kOpenAt2 = 437;
constexpr uint64_t kNoSymlinks = 0x04;
constexpr uint64_t kBeneath = 0x08;
// STATX_ATTR_MOUNT_ROOT, which Linux reports since 5.8.
constexpr uint64_t kMountRoot = 0x2000;
// A rename elsewhere may make the kernel unsure: it asks to be called again (openat2(2), EAGAIN).
constexpr int kTries = 64;

void FillRow(const struct statx& stat, double* row) {
  const bool born = (stat.stx_mask & STATX_BTIME) != 0;
  row[0] = stat.stx_mode + ((stat.stx_attributes & kMountRoot) != 0 ? kMounted : 0);
  row[1] = stat.stx_uid;
  row[2] = stat.stx_gid;
  row[3] = static_cast<double>(stat.stx_size);
  row[4] = static_cast<double>(stat.stx_mtime.tv_sec);
  row[5] = stat.stx_mtime.tv_nsec;
  row[6] = static_cast<double>(stat.stx_ctime.tv_sec);
  row[7] = stat.stx_ctime.tv_nsec;
  row[8] = born ? static_cast<double>(stat.stx_btime.tv_sec) : 0;
  row[9] = born ? stat.stx_btime.tv_nsec : 0;
  row[10] = static_cast<double>(stat.stx_ino >> 32);
  row[11] = static_cast<double>(stat.stx_ino & 0xffffffffu);
  row[12] = stat.stx_dev_major;
  row[13] = stat.stx_dev_minor;
  row[14] = stat.stx_nlink;
}

napi_value Name(napi_env env, const char* bytes, size_t length) {
  napi_value value;
  napi_create_string_latin1(env, bytes, length, &value);
  return value;
}

napi_value Undefined(napi_env env) {
  napi_value value;
  napi_get_undefined(env, &value);
  return value;
}

// A descriptor's file by a path: these calls take no O_PATH descriptor, but its path in /proc, which leads to that file and no other.
std::string PathOf(int descriptor) { return "/proc/self/fd/" + std::to_string(descriptor); }

napi_value Done(napi_env env, const char* what, int result) {
  return result == 0 ? nullptr : ThrowErrno(env, what, errno);
}

}  // namespace

int LookAt(int directory, const char* name, double* row) {
  struct statx stat;
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name == '\0' ? AT_EMPTY_PATH : 0);
  if (statx(directory, name, flags, STATX_BASIC_STATS | STATX_BTIME, &stat) != 0) return errno;
  FillRow(stat, row);
  return 0;
}

int OpenAt(int directory, const char* path, uint64_t flags, uint64_t mode) {
  OpenHow how = {};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = kBeneath | kNoSymlinks;
  long descriptor = -1;
  for (int attempt = 0; attempt < kTries; attempt++) {
    descriptor = syscall(kOpenAt2, directory, path, &how, sizeof how);
    if (descriptor >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return static_cast<int>(descriptor);
}

napi_value OpenBeneath(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "openBeneath");
  const int directory = arguments.Descriptor(0);
  const std::string path = arguments.Bytes(1);
  const auto flags = arguments.Whole<uint64_t>(2), mode = arguments.Whole<uint64_t>(3);
  if (arguments.Threw()) return nullptr;
  const int descriptor = OpenAt(directory, path.c_str(), flags, mode);
  if (descriptor < 0) return ThrowErrno(env, "openat2", errno);
  return Number(env, descriptor);
}

napi_value StatAt(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "statAt");
  const int directory = arguments.Descriptor(0);
  const std::string name = arguments.Name(1);
  if (arguments.Threw()) return nullptr;
  std::vector<double> row(kColumns);
  const int error = LookAt(directory, name.c_str(), row.data());
  if (error == ENOENT) return Undefined(env);
  return error == 0 ? Doubles(env, row) : ThrowErrno(env, "statx", error);
}

napi_value ListAt(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "listAt");
  const int directory = arguments.Descriptor(0);
  if (arguments.Threw()) return nullptr;
  // The stream takes its descriptor along when it is closed.
  const int own = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* stream = own < 0 ? nullptr : fdopendir(own);
  if (stream == nullptr) {
    const int error = errno;
    if (own >= 0) close(own);
    return ThrowErrno(env, "opendir", error);
  }
  const bool locked = IsLocked(own);
  napi_value names;
  napi_create_array(env, &names);
  std::vector<double> rows;
  uint32_t count = 0, known = 0;
  int error = 0, failed = 0;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(stream);
    if (entry == nullptr) {
      error = errno;
      break;
    }
    const char* name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    double row[kColumns];
    const int unknown = LookAt(directory, name, row);
    if (unknown == ENOENT) continue;
    if (unknown == 0) {
      known++;
    } else {
      std::fill(row, row + kColumns, 0);
      failed = unknown;
    }
    rows.insert(rows.end(), row, row + kColumns);
    napi_set_element(env, names, count++, Name(env, name, strlen(name)));
  }
  // Then it is the directory that cannot be searched.
  if (error == 0 && known == 0) error = failed;
  // Checked again, because it may have been locked or unlocked meanwhile.
  if (error == 0 && (locked || IsLocked(own))) error = ENOKEY;
  closedir(stream);
  if (error != 0) return ThrowErrno(env, "readdir", error);
  napi_value result;
  napi_create_array_with_length(env, 2, &result);
  napi_set_element(env, result, 0, names);
  napi_set_element(env, result, 1, Doubles(env, rows));
  return result;
}

napi_value ReadLinkAt(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "readLinkAt");
  const int directory = arguments.Descriptor(0);
  const std::string name = arguments.Name(1);
  if (arguments.Threw()) return nullptr;
  char target[4096];
  const ssize_t length = readlinkat(directory, name.c_str(), target, sizeof target);
  if (length < 0) return ThrowErrno(env, "readlinkat", errno);
  return Name(env, target, static_cast<size_t>(length));
}

napi_value MakeDirectoryAt(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "makeDirectoryAt");
  const int directory = arguments.Descriptor(0);
  const std::string name = arguments.Name(1);
  const auto mode = arguments.Whole<mode_t>(2);
  if (arguments.Threw()) return nullptr;
  return Done(env, "mkdirat", mkdirat(directory, name.c_str(), mode));
}

napi_value SymlinkAt(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "symlinkAt");
  const int directory = arguments.Descriptor(0);
  const std::string name = arguments.Name(1), target = arguments.Bytes(2);
  if (arguments.Threw()) return nullptr;
  return Done(env, "symlinkat", symlinkat(target.c_str(), directory, name.c_str()));
}

napi_value LinkAt(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "linkAt");
  const int from = arguments.Descriptor(0), to = arguments.Descriptor(2);
  const std::string name = arguments.Name(1), newName = arguments.Name(3);
  if (arguments.Threw()) return nullptr;
  return Done(env, "linkat", linkat(from, name.c_str(), to, newName.c_str(), 0));
}

napi_value RenameAt(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "renameAt");
  const int from = arguments.Descriptor(0), to = arguments.Descriptor(2);
  const std::string name = arguments.Name(1), newName = arguments.Name(3);
  const auto flags = arguments.Whole<unsigned>(4);
  if (arguments.Threw()) return nullptr;
  const long result = syscall(SYS_renameat2, from, name.c_str(), to, newName.c_str(), flags);
  return Done(env, "renameat2", static_cast<int>(result));
}

napi_value UnlinkAt(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "unlinkAt");
  const int directory = arguments.Descriptor(0);
  const std::string name = arguments.Name(1);
  const int flags = arguments.Flag(2) ? AT_REMOVEDIR : 0;
  if (arguments.Threw()) return nullptr;
  return Done(env, "unlinkat", unlinkat(directory, name.c_str(), flags));
}

napi_value SetModeOf(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "setModeOf");
  const int descriptor = arguments.Descriptor(0);
  const auto mode = arguments.Whole<mode_t>(1);
  if (arguments.Threw()) return nullptr;
  return Done(env, "chmod", chmod(PathOf(descriptor).c_str(), mode));
}

napi_value SetOwnerAt(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "setOwnerAt");
  const int directory = arguments.Descriptor(0);
  const std::string name = arguments.Name(1);
  const auto uid = arguments.Whole<uid_t>(2);
  const auto gid = arguments.Whole<gid_t>(3);
  if (arguments.Threw()) return nullptr;
  return Done(env, "fchownat", fchownat(directory, name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW));
}

napi_value SetModifiedAt(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "setModifiedAt");
  const int directory = arguments.Descriptor(0);
  const std::string name = arguments.Name(1);
  timespec times[2] = {};
  times[0].tv_nsec = UTIME_OMIT;
  times[1] = arguments.Time(2);
  if (arguments.Threw()) return nullptr;
  return Done(env, "utimensat", utimensat(directory, name.c_str(), times, AT_SYMLINK_NOFOLLOW));
}

napi_value ListXattrs(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "listXattrs");
  const int descriptor = arguments.Descriptor(0);
  if (arguments.Threw()) return nullptr;
  // What Linux allows (XATTR_LIST_MAX); kept, since to clear it takes longer than the call.
  static thread_local char names[65536];
  const ssize_t length = listxattr(PathOf(descriptor).c_str(), names, sizeof names);
  if (length < 0) return ThrowErrno(env, "listxattr", errno);
  napi_value result;
  napi_create_array(env, &result);
  uint32_t count = 0;
  for (ssize_t at = 0; at < length;) {
    const size_t each = strnlen(names + at, static_cast<size_t>(length - at));
    napi_set_element(env, result, count++, Name(env, names + at, each));
    at += static_cast<ssize_t>(each) + 1;
  }
  return result;
}

napi_value GetXattr(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "getXattr");
  const int descriptor = arguments.Descriptor(0);
  const std::string name = arguments.Bytes(1);
  if (arguments.Threw()) return nullptr;
  // What Linux allows (XATTR_SIZE_MAX).
  std::vector<char> value(65536);
  const ssize_t length = getxattr(PathOf(descriptor).c_str(), name.c_str(), value.data(), value.size());
  if (length < 0) return errno == ENODATA ? Undefined(env) : ThrowErrno(env, "getxattr", errno);
  napi_value buffer;
  napi_create_buffer_copy(env, static_cast<size_t>(length), value.data(), nullptr, &buffer);
  return buffer;
}

napi_value SetXattr(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "setXattr");
  const int descriptor = arguments.Descriptor(0);
  const std::string name = arguments.Bytes(1);
  const auto value = arguments.Buffer(2);
  if (arguments.Threw()) return nullptr;
  return Done(env, "setxattr", setxattr(PathOf(descriptor).c_str(), name.c_str(), value.data, value.length, 0));
}

napi_value RemoveXattr(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "removeXattr");
  const int descriptor = arguments.Descriptor(0);
  const std::string name = arguments.Bytes(1);
  if (arguments.Threw()) return nullptr;
  return Done(env, "removexattr", removexattr(PathOf(descriptor).c_str(), name.c_str()));
}

}  // namespace syncline
