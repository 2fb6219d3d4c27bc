// What JavaScript answered, encoded for the kernel. No N-API.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace syncline {

// What every reply of a mount has in common: how long the kernel may keep what it learns, and st_blksize.
struct ReplySettings {
  uint64_t attributeTimeoutNs;
  uint64_t entryTimeoutNs;
  uint64_t negativeTimeoutNs;
  uint32_t blockSize;
};

// Sends an error (a positive errno), or an empty success for 0. Requests that the kernel dropped meanwhile are no error.
void SendError(int device, uint64_t unique, int error);

// Sends what the reply's part of `row` says. `output` is what kData refers to. An unanswered row becomes EIO, and so does one that the
// kernel would not take.
void SendReply(int device, uint64_t unique, uint32_t opcode, const double* row, const char* output,
               const ReplySettings& settings);

// Packs `count` directory entries (cells, and their names one after the other in kEntryNamesBytes) as the kernel wants them; returns the
// bytes used in `target`, at most `limit`, or nothing if the names would end beyond their memory.
std::optional<size_t> PackEntries(const double* entries, size_t count, const char* names, bool plus, char* target, size_t limit,
                   const ReplySettings& settings);

}  // namespace syncline
