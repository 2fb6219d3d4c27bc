// The memory that C++ and JavaScript share: one array of 8-byte cells, each read as a double or as a signed 64-bit integer.
// src/fuse/protocol.ts has the same numbers; kLayoutVersion changes with any of them, so that a stale build is refused.
#pragma once

#include <cstddef>
#include <cstdint>

namespace syncline {

constexpr int kLayoutVersion = 8;

// Rows: one for each request of a batch, and one more to answer a request that JavaScript kept back.
constexpr int kRows = 64;
constexpr int kSoloRow = kRows;
constexpr int kRowCells = 32;

// A row: the request …
enum RequestCell { kOpcode = 0, kTicket, kNode, kUid, kGid, kThread, kFirstName, kArgument };
// … and its reply, filled by JavaScript.
enum ReplyCell { kKind = 16, kValue, kAttributes, kFlags = 29, kLength = 30 };
// In an answer to STATX; 0: unknown.
constexpr int kBirth = kFlags;
// The request's number on its connection. Negative: the kernel sent it again, to an agent that replaces another.
constexpr int kUnique = 31;

// Attributes, from kAttributes on in a row, and from 0 on in a directory entry. Times are signed nanoseconds since 1970.
enum AttributeCell { kIno = 0, kMode, kNlink, kOwner, kGroup, kRdev, kSize, kBlocks, kAtime, kMtime, kCtime };

enum ReplyKind {
  kNone = 0,      // not answered yet
  kError,         // errno in kValue; 0 answers an empty success
  kEntry,         // attributes; inode 0 says that the name does not exist
  kAttr,          // attributes
  kOpened,        // FOPEN flags in kFlags, the handle in kValue
  kCreated,       // attributes, kFlags and kValue
  kCount,         // bytes written or copied in kValue
  kData,          // kLength bytes of the output buffer from kValue on
  kStatFs,        // cells of StatFsCell from kAttributes on
  kXattrSize,     // kValue
  kPosition,      // kValue
  kInit,          // cells of InitCell from kAttributes on
  kDeferred,      // answered later, by ticket
};

enum StatFsCell { kFsBlockSize = 0, kFsBlocks, kFsFreeBlocks, kFsFiles, kFsFreeFiles, kFsNameMax };
enum InitCell {
  kInitMinor = 0,
  kInitReadAhead,
  kInitFlags,
  kInitFlags2,
  kInitMaxBackground,
  kInitCongestion,
  kInitMaxWrite,
  kInitMaxPages,
};

// Directory entries follow the rows: attributes, then these.
constexpr int kMaxEntries = 1024;
constexpr int kEntryCells = 16;
enum EntryCell { kNext = 11, kNameLength };
constexpr int kEntriesAt = (kRows + 1) * kRowCells;
constexpr int kCells = kEntriesAt + kMaxEntries * kEntryCells;

// Bytes of the largest WRITE, of the buffers, and of the names of one batch of directory entries.
constexpr size_t kMaxWrite = 1 << 20;
constexpr size_t kMaxRequest = kMaxWrite + 4096;
constexpr size_t kInputBytes = 4 * kMaxRequest;
constexpr size_t kOutputBytes = 4 << 20;
constexpr size_t kEntryNamesBytes = kMaxEntries * 256;

// Numbers up to here are exact in a double.
constexpr uint64_t kMaxExact = 1ull << 53;

}  // namespace syncline
