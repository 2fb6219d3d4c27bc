#include "replies.h"

#include <linux/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <string_view>

#include "kernel.h"
#include "layout.h"
#include "whole.h"

namespace syncline {
namespace {

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

// The largest errno of the kernel's own; it does not take an answer with any other (fuse_dev_do_write in fs/fuse/dev.c).
constexpr int kMostErrno = 511;

// The nearest number that `T` can hold.
template <typename T>
T Cell(double value) {
  constexpr T most = std::numeric_limits<T>::max();
  if (!(value > 0)) return 0;
  return value >= static_cast<double>(most) ? most : static_cast<T>(value);
}

int64_t TimeCell(const double* cell) {
  int64_t value;
  std::memcpy(&value, cell, sizeof value);
  return value;
}

void SplitTime(const double* cell, uint64_t* seconds, uint32_t* nanoseconds) {
  const int64_t time = TimeCell(cell);
  int64_t whole = time / kNanosecondsPerSecond;
  int64_t rest = time % kNanosecondsPerSecond;
  if (rest < 0) {
    rest += kNanosecondsPerSecond;
    whole -= 1;
  }
  *seconds = static_cast<uint64_t>(whole);
  *nanoseconds = static_cast<uint32_t>(rest);
}

void SplitTimeout(uint64_t timeout, uint64_t* seconds, uint32_t* nanoseconds) {
  *seconds = timeout / kNanosecondsPerSecond;
  *nanoseconds = static_cast<uint32_t>(timeout % kNanosecondsPerSecond);
}

void FillAttributes(fuse_attr* attr, const double* cells, const ReplySettings& settings) {
  std::memset(attr, 0, sizeof *attr);
  attr->ino = Cell<uint64_t>(cells[kIno]);
  attr->mode = Cell<uint32_t>(cells[kMode]);
  attr->nlink = Cell<uint32_t>(cells[kNlink]);
  attr->uid = Cell<uint32_t>(cells[kOwner]);
  attr->gid = Cell<uint32_t>(cells[kGroup]);
  attr->rdev = Cell<uint32_t>(cells[kRdev]);
  attr->size = Cell<uint64_t>(cells[kSize]);
  attr->blocks = Cell<uint64_t>(cells[kBlocks]);
  attr->blksize = settings.blockSize;
  SplitTime(&cells[kAtime], &attr->atime, &attr->atimensec);
  SplitTime(&cells[kMtime], &attr->mtime, &attr->mtimensec);
  SplitTime(&cells[kCtime], &attr->ctime, &attr->ctimensec);
}

// As the kernel's struct statx: what GETATTR answers, and the birth time if it is known.
void FillStatx(StatxOut* out, const double* row, const ReplySettings& settings) {
  fuse_attr attr;
  FillAttributes(&attr, row + kAttributes, settings);
  std::memset(out, 0, sizeof *out);
  SplitTimeout(settings.attributeTimeoutNs, &out->valid, &out->validNsec);
  Statx& stat = out->stat;
  stat.mask = STATX_BASIC_STATS;
  stat.blksize = attr.blksize;
  stat.nlink = attr.nlink;
  stat.uid = attr.uid;
  stat.gid = attr.gid;
  stat.mode = static_cast<uint16_t>(attr.mode);
  stat.ino = attr.ino;
  stat.size = attr.size;
  stat.blocks = attr.blocks;
  stat.rdevMajor = major(attr.rdev);
  stat.rdevMinor = minor(attr.rdev);
  stat.atime = {attr.atime, attr.atimensec, 0};
  stat.mtime = {attr.mtime, attr.mtimensec, 0};
  stat.ctime = {attr.ctime, attr.ctimensec, 0};
  if (TimeCell(row + kBirth) == 0) return;
  stat.mask |= STATX_BTIME;
  SplitTime(row + kBirth, &stat.btime.seconds, &stat.btime.nanoseconds);
}

void FillEntry(fuse_entry_out* entry, const double* cells, const ReplySettings& settings) {
  std::memset(entry, 0, sizeof *entry);
  entry->nodeid = Cell<uint64_t>(cells[kIno]);
  const bool exists = entry->nodeid != 0;
  SplitTimeout(exists ? settings.entryTimeoutNs : settings.negativeTimeoutNs, &entry->entry_valid,
               &entry->entry_valid_nsec);
  if (!exists) return;
  SplitTimeout(settings.attributeTimeoutNs, &entry->attr_valid, &entry->attr_valid_nsec);
  FillAttributes(&entry->attr, cells, settings);
}

void FillStatFs(fuse_kstatfs* st, const double* cells) {
  std::memset(st, 0, sizeof *st);
  st->bsize = st->frsize = Cell<uint32_t>(cells[kFsBlockSize]);
  st->blocks = Cell<uint64_t>(cells[kFsBlocks]);
  st->bfree = st->bavail = Cell<uint64_t>(cells[kFsFreeBlocks]);
  st->files = Cell<uint64_t>(cells[kFsFiles]);
  st->ffree = Cell<uint64_t>(cells[kFsFreeFiles]);
  st->namelen = Cell<uint32_t>(cells[kFsNameMax]);
}

void FillInit(fuse_init_out* out, const double* cells) {
  std::memset(out, 0, sizeof *out);
  out->major = FUSE_KERNEL_VERSION;
  out->minor = Cell<uint32_t>(cells[kInitMinor]);
  out->max_readahead = Cell<uint32_t>(cells[kInitReadAhead]);
  out->flags = Cell<uint32_t>(cells[kInitFlags]);
  out->flags2 = Cell<uint32_t>(cells[kInitFlags2]);
  out->max_background = Cell<uint16_t>(cells[kInitMaxBackground]);
  out->congestion_threshold = Cell<uint16_t>(cells[kInitCongestion]);
  out->max_write = Cell<uint32_t>(cells[kInitMaxWrite]);
  out->max_pages = Cell<uint16_t>(cells[kInitMaxPages]);
  out->time_gran = 1;
}

// A header and a fixed-size structure in one piece, so that the usual reply is one plain write.
struct Message {
  fuse_out_header header;
  union {
    fuse_entry_out entry;
    fuse_attr_out attr;
    fuse_open_out open;
    struct {
      fuse_entry_out entry;
      fuse_open_out open;
    } created;
    fuse_write_out write;
    fuse_statfs_out statfs;
    fuse_getxattr_out xattr;
    fuse_lseek_out position;
    fuse_init_out init;
    StatxOut statx;
    CopyFileRange64Out copied;
  } body;
};

void SendMessage(int device, uint64_t unique, Message* message, size_t bodyBytes) {
  message->header = {static_cast<uint32_t>(sizeof message->header + bodyBytes), 0, unique};
  // ENOENT: the kernel gave the request up. ENODEV: unmounted. Neither is for anybody to act on.
  (void)!write(device, message, sizeof message->header + bodyBytes);
}

void SendData(int device, uint64_t unique, const char* bytes, size_t length) {
  fuse_out_header header = {static_cast<uint32_t>(sizeof header + length), 0, unique};
  iovec parts[2] = {{&header, sizeof header}, {const_cast<char*>(bytes), length}};
  (void)!writev(device, parts, 2);
}

}  // namespace

void SendError(int device, uint64_t unique, int error) {
  fuse_out_header header = {sizeof header, error >= 0 && error <= kMostErrno ? -error : -EIO, unique};
  (void)!write(device, &header, sizeof header);
}

void SendReply(int device, uint64_t unique, uint32_t opcode, const double* row, const char* output,
               const ReplySettings& settings) {
  const double* attributes = row + kAttributes;
  Message message;
  if (!Fits<int>(row[kKind], kNone, kDeferred)) return SendError(device, unique, EIO);
  switch (static_cast<ReplyKind>(static_cast<int>(row[kKind]))) {
    case kError:
      return SendError(device, unique, Fits<int>(row[kValue]) ? static_cast<int>(row[kValue]) : EIO);
    case kEntry:
      FillEntry(&message.body.entry, attributes, settings);
      return SendMessage(device, unique, &message, sizeof message.body.entry);
    case kAttr:
      if (opcode == kOpStatx) {
        FillStatx(&message.body.statx, row, settings);
        return SendMessage(device, unique, &message, sizeof message.body.statx);
      }
      std::memset(&message.body.attr, 0, sizeof message.body.attr);
      SplitTimeout(settings.attributeTimeoutNs, &message.body.attr.attr_valid, &message.body.attr.attr_valid_nsec);
      FillAttributes(&message.body.attr.attr, attributes, settings);
      return SendMessage(device, unique, &message, sizeof message.body.attr);
    case kOpened:
      message.body.open = {};
      message.body.open.fh = Cell<uint64_t>(row[kValue]);
      message.body.open.open_flags = Cell<uint32_t>(row[kFlags]);
      return SendMessage(device, unique, &message, sizeof message.body.open);
    case kCreated:
      FillEntry(&message.body.created.entry, attributes, settings);
      message.body.created.open = {};
      message.body.created.open.fh = Cell<uint64_t>(row[kValue]);
      message.body.created.open.open_flags = Cell<uint32_t>(row[kFlags]);
      return SendMessage(device, unique, &message, sizeof message.body.created);
    case kCount:
      if (opcode == kOpCopyFileRange64) {
        message.body.copied.bytes_copied = Cell<uint64_t>(row[kValue]);
        return SendMessage(device, unique, &message, sizeof message.body.copied);
      }
      message.body.write = {Cell<uint32_t>(row[kValue]), 0};
      return SendMessage(device, unique, &message, sizeof message.body.write);
    case kData: {
      if (!Fits<size_t>(row[kValue], 0, kOutputBytes)) return SendError(device, unique, EIO);
      const auto at = static_cast<size_t>(row[kValue]);
      if (!Fits<size_t>(row[kLength], 0, kOutputBytes - at)) return SendError(device, unique, EIO);
      return SendData(device, unique, output + at, static_cast<size_t>(row[kLength]));
    }
    case kStatFs:
      FillStatFs(&message.body.statfs.st, attributes);
      return SendMessage(device, unique, &message, sizeof message.body.statfs);
    case kXattrSize:
      message.body.xattr = {Cell<uint32_t>(row[kValue]), 0};
      return SendMessage(device, unique, &message, sizeof message.body.xattr);
    case kPosition:
      message.body.position.offset = Cell<uint64_t>(row[kValue]);
      return SendMessage(device, unique, &message, sizeof message.body.position);
    case kInit:
      FillInit(&message.body.init, attributes);
      return SendMessage(device, unique, &message, sizeof message.body.init);
    case kNone:
    case kDeferred:
      return SendError(device, unique, EIO);
  }
}

std::optional<size_t> PackEntries(const double* entries, size_t count, const char* names, bool plus, char* target, size_t limit,
                   const ReplySettings& settings) {
  const char* namesEnd = names + kEntryNamesBytes;
  const size_t head = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
  size_t used = 0;
  for (size_t i = 0; i < count; i++) {
    const double* cells = entries + i * kEntryCells;
    if (!Fits<size_t>(cells[kNameLength], 0, static_cast<size_t>(namesEnd - names))) return std::nullopt;
    const auto length = static_cast<size_t>(cells[kNameLength]);
    const size_t size = FUSE_DIRENT_ALIGN(head + length);
    if (used + size > limit) break;
    char* at = target + used;
    std::memset(at + size - 8, 0, 8);
    fuse_dirent* dirent = reinterpret_cast<fuse_dirent*>(at);
    if (plus) {
      auto* whole = reinterpret_cast<fuse_direntplus*>(at);
      dirent = &whole->dirent;
      // The kernel counts a lookup for every entry with a node id; "." and ".." must not have one.
      const std::string_view name(names, length);
      const bool dots = name == "." || name == "..";
      if (dots) {
        std::memset(&whole->entry_out, 0, sizeof whole->entry_out);
      } else {
        FillEntry(&whole->entry_out, cells, settings);
      }
    }
    dirent->ino = Cell<uint64_t>(cells[kIno]);
    dirent->off = Cell<uint64_t>(cells[kNext]);
    dirent->namelen = static_cast<uint32_t>(length);
    dirent->type = (Cell<uint32_t>(cells[kMode]) & 0170000) >> 12;
    std::memcpy(dirent->name, names, length);
    names += length;
    used += size;
  }
  return used;
}

}  // namespace syncline
