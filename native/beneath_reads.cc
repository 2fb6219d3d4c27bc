#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "batch.h"
#include "beneath_batch.h"
#include "beneath_calls.h"

namespace syncline {

namespace {

constexpr uint64_t kToRead = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

class Reading : public Batch {
 public:
  Reading(int directory, std::vector<std::string> paths, std::vector<size_t> sizes, uint8_t* target)
      : directory_(directory), paths_(std::move(paths)), sizes_(std::move(sizes)), target_(target) {}

 protected:
  void Run() override {
    rows_.assign(paths_.size() * kColumns, 0);
    uint8_t* at = target_;
    for (size_t index = 0; index < paths_.size(); index++) {
      const size_t size = sizes_[index];
      double* row = &rows_[index * kColumns];
      if (!ReadOne(paths_[index], at, size, row)) std::fill(row, row + kColumns, 0);
      at += size;
    }
  }

 private:
  bool ReadOne(const std::string& path, uint8_t* at, size_t size, double* row) const {
    const int file = OpenAt(directory_, path.c_str(), kToRead, 0);
    if (file < 0) return false;
    double after[kColumns];
    const bool whole = LookAt(file, "", row) == 0 && S_ISREG(static_cast<mode_t>(row[0])) && Fill(file, at, size) &&
                       LookAt(file, "", after) == 0 && std::equal(after, after + kColumns, row);
    close(file);
    return whole;
  }

  static bool Fill(int file, uint8_t* at, size_t size) {
    for (size_t done = 0; done < size;) {
      const ssize_t more = read(file, at + done, size - done);
      if (more < 0 && errno == EINTR) continue;
      if (more <= 0) return false;
      done += static_cast<size_t>(more);
    }
    return true;
  }

  int directory_;
  std::vector<std::string> paths_;
  std::vector<size_t> sizes_;
  uint8_t* target_;
};

class Baring : public Batch {
 public:
  Baring(int directory, std::vector<std::string> paths, bool all)
      : directory_(directory), paths_(std::move(paths)), all_(all) {}

 protected:
  void Run() override {
    rows_.reserve(paths_.size());
    for (const std::string& path : paths_) rows_.push_back(IsBare(path) ? 1 : 0);
  }

 private:
  bool IsBare(const std::string& path) {
    const int file = OpenAt(directory_, path.c_str(), kToRead, 0);
    if (file < 0) return false;
    const ssize_t length = flistxattr(file, names_, sizeof names_);
    const int failed = errno;
    close(file);
    if (length < 0) return failed == ENOTSUP;
    for (size_t at = 0; at < static_cast<size_t>(length);) {
      const std::string_view name(names_ + at, strnlen(names_ + at, static_cast<size_t>(length) - at));
      if (IsShown(name)) return false;
      at += name.size() + 1;
    }
    return true;
  }

  // As the disk that asks has it: beneath-disk.ts.
  bool IsShown(std::string_view name) const {
    return Begins(name, "user.") || name == "system.posix_acl_access" || (all_ && !Begins(name, "system."));
  }

  static bool Begins(std::string_view name, std::string_view with) { return name.substr(0, with.size()) == with; }

  int directory_;
  std::vector<std::string> paths_;
  bool all_;
  // What Linux allows (XATTR_LIST_MAX).
  char names_[65536];
};

}  // namespace

napi_value ReadFiles(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "readFiles");
  const int directory = arguments.Descriptor(0);
  std::vector<std::string> paths = arguments.Texts(1);
  const std::vector<double> sizes = arguments.Doubles(2);
  const auto target = arguments.Buffer(3);
  std::vector<size_t> lengths;
  size_t left = target.length;
  for (const double size : sizes) {
    if (!Fits<size_t>(size, 0, left)) {
      arguments.OutOfRange(2, "has sizes that do not fit in the buffer");
      break;
    }
    lengths.push_back(static_cast<size_t>(size));
    left -= lengths.back();
  }
  if (sizes.size() != paths.size()) arguments.OutOfRange(2, "does not have one size for each path");
  if (arguments.Threw()) return nullptr;
  auto reading = std::make_unique<Reading>(directory, std::move(paths), std::move(lengths), target.data);
  return Batch::Start(env, std::move(reading), "syncline:read", arguments[3]);
}

napi_value BareFiles(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "bareFiles");
  const int directory = arguments.Descriptor(0);
  std::vector<std::string> paths = arguments.Texts(1);
  const bool all = arguments.Flag(2);
  if (arguments.Threw()) return nullptr;
  return Batch::Start(env, std::make_unique<Baring>(directory, std::move(paths), all), "syncline:bare", nullptr);
}

}  // namespace syncline
