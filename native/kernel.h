// The kernel's FUSE protocol: linux/fuse.h, plus what newer kernels speak and older headers lack (Debian 12 has 7.38).
// Source of the numbers: include/uapi/linux/fuse.h of Linux 6.18 (protocol 7.45).
#pragma once

#include <linux/fuse.h>

#include <cstdint>

namespace syncline {

constexpr uint32_t kOpStatx = 52;
constexpr uint32_t kOpCopyFileRange64 = 53;
constexpr int kNotifyResend = 7;
constexpr int kNotifyIncEpoch = 8;
// Of FUSE_NOTIFY_INVAL_ENTRY: the name is looked up again, but not dropped (FUSE_EXPIRE_ONLY). Linux 6.2.
constexpr uint32_t kExpireOnly = 1;
// In the number of a request that is sent again (FUSE_UNIQUE_RESEND).
constexpr uint64_t kResentBit = 1ull << 63;

// struct fuse_sx_time, fuse_statx and fuse_statx_out.
struct StatxTime {
  uint64_t seconds;
  uint32_t nanoseconds;
  int32_t reserved;
};
struct Statx {
  uint32_t mask;
  uint32_t blksize;
  uint64_t attributes;
  uint32_t nlink;
  uint32_t uid;
  uint32_t gid;
  uint16_t mode;
  uint16_t spare0;
  uint64_t ino;
  uint64_t size;
  uint64_t blocks;
  uint64_t attributesMask;
  StatxTime atime;
  StatxTime btime;
  StatxTime ctime;
  StatxTime mtime;
  uint32_t rdevMajor;
  uint32_t rdevMinor;
  uint32_t devMajor;
  uint32_t devMinor;
  uint64_t spare2[14];
};
struct StatxOut {
  uint64_t valid;
  uint32_t validNsec;
  uint32_t flags;
  uint64_t spare[2];
  Statx stat;
};
static_assert(sizeof(StatxOut) == 288);

// The reply to kOpCopyFileRange64 (struct fuse_copy_file_range_out).
struct CopyFileRange64Out {
  uint64_t bytes_copied;
};

}  // namespace syncline
