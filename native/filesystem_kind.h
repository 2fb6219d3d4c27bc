// What kind of filesystem a file lies on.
#pragma once

#include <sys/vfs.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace syncline {

// Whether it is one of those in the kernel whose behaviour is known: ext2 to ext4, XFS, Btrfs, F2FS or tmpfs. The numbers are those of
// statfs(2): linux/magic.h did not always have all of them.
inline bool IsOnKnownFilesystem(int file) {
  constexpr uint32_t kKnown[] = {0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x01021994};
  struct statfs filesystem;
  if (fstatfs(file, &filesystem) != 0) return false;
  const auto type = static_cast<uint32_t>(filesystem.f_type);
  return std::find(std::begin(kKnown), std::end(kKnown), type) != std::end(kKnown);
}

}  // namespace syncline
