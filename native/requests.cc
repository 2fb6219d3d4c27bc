#include "requests.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "kernel.h"
#include "layout.h"

namespace syncline {
namespace {

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

// Nanoseconds since 1970, held at the ends of their range (the years 1678 and 2262).
int64_t Nanoseconds(uint64_t seconds, uint32_t nanoseconds) {
  const int64_t signedSeconds = static_cast<int64_t>(seconds);
  int64_t total;
  if (__builtin_mul_overflow(signedSeconds, kNanosecondsPerSecond, &total) ||
      __builtin_add_overflow(total, static_cast<int64_t>(nanoseconds), &total)) {
    return signedSeconds < 0 ? INT64_MIN : INT64_MAX;
  }
  return total;
}

class Decoder {
 public:
  Decoder(const Request& request, const char* input, double* row) : request_(request), input_(input), row_(row) {}

  Decoded Run();

 private:
  // The fixed-size structure that the body begins with; older kernels may leave out what is beyond `least` bytes, which is then zero.
  template <typename T>
  T Body(size_t least = sizeof(T)) {
    T body = {};
    const size_t length = request_.BodyBytes();
    if (length < least) isShort_ = true;
    std::memcpy(&body, request_.body, std::min(length, sizeof body));
    return body;
  }

  void Argument(int index, double value) { row_[kArgument + index] = value; }
  void Time(int index, int64_t value) { std::memcpy(&row_[kArgument + index], &value, sizeof value); }

  Decoded Row() const { return {Outcome::kRow, 0, 0, {}}; }
  Decoded Answer(int error) const { return {Outcome::kAnswer, error, 0, {}}; }
  // Names, each ended by a zero byte, from so many bytes of the body on.
  Decoded Named(size_t at) {
    Decoded decoded = Row();
    TakeName(at, &decoded);
    return decoded;
  }
  Decoded NamedTwice(size_t at) {
    Decoded decoded = Named(at);
    TakeName(at + decoded.names[0].size() + 1, &decoded);
    return decoded;
  }
  void TakeName(size_t at, Decoded* decoded) {
    const size_t length = request_.BodyBytes();
    const size_t end = at < length ? at + strnlen(request_.body + at, length - at) : length;
    if (end == length) {
      isShort_ = true;
    } else {
      decoded->names[decoded->nameCount++] = {request_.body + at, end - at};
    }
  }
  // So many bytes that JavaScript may read, from `at` in the body on; where they are in the input.
  double Bytes(size_t at, size_t length) {
    if (at > request_.BodyBytes() || length > request_.BodyBytes() - at) isShort_ = true;
    return static_cast<double>(request_.body + at - input_);
  }

  Decoded SetAttr();
  Decoded Write();
  Decoded SetXattr();
  Decoded Init();
  Decoded Rename(uint64_t newParent, uint32_t flags, size_t names);
  Decoded Create();
  Decoded Decode();

  bool isShort_ = false;
  const Request& request_;
  const char* input_;
  double* row_;
};

Decoded Decoder::SetAttr() {
  const auto in = Body<fuse_setattr_in>();
  if ((in.valid & FATTR_SIZE) && in.size > kMaxExact) return Answer(EFBIG);
  Argument(0, in.valid);
  Argument(1, in.mode);
  Argument(2, in.uid);
  Argument(3, in.gid);
  Argument(4, static_cast<double>(in.size));
  Time(5, Nanoseconds(in.atime, in.atimensec));
  Time(6, Nanoseconds(in.mtime, in.mtimensec));
  Time(7, Nanoseconds(in.ctime, in.ctimensec));
  return Row();
}

Decoded Decoder::Write() {
  const auto in = Body<fuse_write_in>();
  if (in.offset > kMaxExact - in.size) return Answer(EFBIG);
  Argument(0, static_cast<double>(in.offset));
  Argument(1, in.size);
  Argument(2, in.write_flags);
  Argument(3, Bytes(sizeof in, in.size));
  Argument(4, in.flags);
  Argument(5, static_cast<double>(in.fh));
  Decoded decoded = Row();
  decoded.outcome = Outcome::kRowWithBytes;
  return decoded;
}

Decoded Decoder::SetXattr() {
  // Without FUSE_SETXATTR_EXT, which depends on the connection, the structure ends after `flags`. The name and the value then
  // fill the rest of the body exactly. In the long form, what would be the name in the short form has two bytes at most.
  constexpr size_t kShort = FUSE_COMPAT_SETXATTR_IN_SIZE;
  const auto in = Body<fuse_setxattr_in>(kShort);
  const size_t length = request_.BodyBytes();
  const size_t nameBytes = length > kShort ? strnlen(request_.body + kShort, length - kShort) + 1 : 0;
  const bool isLong = length >= sizeof in && kShort + nameBytes + in.size != length;
  const size_t head = isLong ? sizeof in : kShort;
  Decoded decoded = Named(head);
  decoded.outcome = Outcome::kRowWithBytes;
  Argument(0, in.flags);
  Argument(1, in.size);
  Argument(2, Bytes(head + decoded.names[0].size() + 1, in.size));
  Argument(3, isLong ? in.setxattr_flags : 0);
  return decoded;
}

Decoded Decoder::Init() {
  // Before protocol 7.36 it ended after `flags`.
  const auto in = Body<fuse_init_in>(offsetof(fuse_init_in, flags2));
  Argument(0, in.major);
  Argument(1, in.minor);
  Argument(2, in.max_readahead);
  Argument(3, in.flags);
  Argument(4, (in.flags & FUSE_INIT_EXT) ? in.flags2 : 0);
  return Row();
}

Decoded Decoder::Rename(uint64_t newParent, uint32_t flags, size_t names) {
  row_[kOpcode] = FUSE_RENAME2;
  Argument(0, static_cast<double>(newParent));
  Argument(1, flags);
  return NamedTwice(names);
}

Decoded Decoder::Create() {
  const auto in = Body<fuse_create_in>();
  Argument(0, in.mode);
  Argument(1, in.flags);
  Argument(2, in.umask);
  return Named(sizeof(fuse_create_in));
}

Decoded Decoder::Run() {
  const Decoded decoded = Decode();
  return isShort_ ? Answer(EINVAL) : decoded;
}

Decoded Decoder::Decode() {
  switch (request_.header->opcode) {
    case FUSE_INIT:
      return Init();
    case FUSE_LOOKUP:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_REMOVEXATTR:
      return Named(0);
    case FUSE_SYMLINK:
      return NamedTwice(0);
    case FUSE_GETATTR:
    case kOpStatx:
    case FUSE_READLINK:
    case FUSE_STATFS:
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
    case FUSE_SYNCFS:
      return Row();
    case FUSE_SETATTR:
      return SetAttr();
    case FUSE_MKNOD:
      Argument(0, Body<fuse_mknod_in>().mode);
      Argument(1, Body<fuse_mknod_in>().rdev);
      Argument(2, Body<fuse_mknod_in>().umask);
      return Named(sizeof(fuse_mknod_in));
    case FUSE_MKDIR:
      Argument(0, Body<fuse_mkdir_in>().mode);
      Argument(2, Body<fuse_mkdir_in>().umask);
      return Named(sizeof(fuse_mkdir_in));
    case FUSE_RENAME:
      return Rename(Body<fuse_rename_in>().newdir, 0, sizeof(fuse_rename_in));
    case FUSE_RENAME2:
      return Rename(Body<fuse_rename2_in>().newdir, Body<fuse_rename2_in>().flags, sizeof(fuse_rename2_in));
    case FUSE_LINK:
      Argument(0, static_cast<double>(Body<fuse_link_in>().oldnodeid));
      return Named(sizeof(fuse_link_in));
    case FUSE_OPEN:
      Argument(0, Body<fuse_open_in>().flags);
      return Row();
    case FUSE_RELEASE:
      Argument(0, Body<fuse_release_in>().flags);
      Argument(1, static_cast<double>(Body<fuse_release_in>().fh));
      return Row();
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      Argument(0, static_cast<double>(Body<fuse_read_in>().offset));
      Argument(1, Body<fuse_read_in>().size);
      return Row();
    case FUSE_WRITE:
      return Write();
    case FUSE_CREATE:
    case FUSE_TMPFILE:
      return Create();
    case FUSE_SETXATTR:
      return SetXattr();
    case FUSE_GETXATTR:
      Argument(0, Body<fuse_getxattr_in>().size);
      return Named(sizeof(fuse_getxattr_in));
    case FUSE_LISTXATTR:
      Argument(0, Body<fuse_getxattr_in>().size);
      return Row();
    case FUSE_FALLOCATE: {
      const auto in = Body<fuse_fallocate_in>();
      if (in.length > kMaxExact || in.offset > kMaxExact - in.length) return Answer(EFBIG);
      Argument(0, in.mode);
      Argument(1, static_cast<double>(in.offset));
      Argument(2, static_cast<double>(in.length));
      return Row();
    }
    case FUSE_LSEEK:
      Argument(0, static_cast<double>(Body<fuse_lseek_in>().offset));
      Argument(1, Body<fuse_lseek_in>().whence);
      return Row();
    case FUSE_COPY_FILE_RANGE:
    case kOpCopyFileRange64: {
      const auto in = Body<fuse_copy_file_range_in>();
      row_[kOpcode] = FUSE_COPY_FILE_RANGE;
      Argument(0, static_cast<double>(in.off_in));
      Argument(1, static_cast<double>(in.nodeid_out));
      Argument(2, static_cast<double>(in.off_out));
      Argument(3, static_cast<double>(in.len));
      return Row();
    }
    case FUSE_IOCTL:
      return Answer(ENOTTY);
    case FUSE_RELEASEDIR:
    case FUSE_DESTROY:
      return Answer(0);
    // No program sees ENOSYS to the rest: the kernel then does the work by itself and does not ask again. OPENDIR: it opens and
    // caches directories alone. FLUSH, ACCESS, POLL, BMAP: it does what a disk without them does.
    default:
      return Answer(ENOSYS);
  }
}

}  // namespace

Request ParseRequest(const char* bytes, size_t length) {
  const auto* header = reinterpret_cast<const fuse_in_header*>(bytes);
  return {header, bytes + sizeof *header, bytes + length};
}

Decoded DecodeRequest(const Request& request, const char* input, double* row) {
  const fuse_in_header& header = *request.header;
  row[kOpcode] = header.opcode;
  row[kNode] = static_cast<double>(header.nodeid);
  row[kUid] = header.uid;
  row[kGid] = header.gid;
  row[kThread] = header.pid;
  const auto unique = static_cast<double>(header.unique & ~kResentBit);
  row[kUnique] = header.unique & kResentBit ? -unique : unique;
  row[kKind] = kNone;
  return Decoder(request, input, row).Run();
}

}  // namespace syncline
