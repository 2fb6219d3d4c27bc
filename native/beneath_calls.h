// What the calls of beneath.cc, beneath_batch.cc and beneath_reads.cc share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace syncline {

// Columns of a row: type and mode, uid, gid, size, mtime, ctime, time of birth (seconds and nanoseconds each), inode, device (high and
// low 32 bits each), links.
constexpr size_t kColumns = 15;
// Added to the mode of what is mounted, also of a directory of the same filesystem.
constexpr uint32_t kMounted = 0x10000;

// Fills a row; 0 or errno. Of a link its own; "" is the descriptor's file.
int LookAt(int directory, const char* name, double* row);

// openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS: a descriptor, or -1 and errno.
int OpenAt(int directory, const char* path, uint64_t flags, uint64_t mode);

}  // namespace syncline
