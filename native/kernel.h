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
// In the number of a request that is sent again (FUSE_UNIQUE_RESEND).
constexpr uint64_t kResentBit = 1ull << 63;

// The reply to kOpCopyFileRange64 (struct fuse_copy_file_range_out).
struct CopyFileRange64Out {
  uint64_t bytes_copied;
};

}  // namespace syncline
