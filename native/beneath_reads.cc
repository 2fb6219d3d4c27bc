#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "batch.h"
#include "beneath_batch.h"
#include "beneath_calls.h"

namespace syncline {

namespace {

constexpr uint64_t kToRead = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

class Reading : public Batch {
 public:
  Reading(int directory, std::vector<std::string> paths, std::vector<double> sizes, uint8_t* target)
      : directory_(directory), paths_(std::move(paths)), sizes_(std::move(sizes)), target_(target) {}

 protected:
  void Run() override {
    rows_.assign(paths_.size() * kColumns, 0);
    uint8_t* at = target_;
    for (size_t index = 0; index < paths_.size(); index++) {
      const auto size = static_cast<size_t>(sizes_[index]);
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
  std::vector<double> sizes_;
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
    for (ssize_t at = 0; at < length; at += static_cast<ssize_t>(strlen(names_ + at)) + 1) {
      if (IsShown(names_ + at)) return false;
    }
    return true;
  }

  // As the disk that asks has it: beneath-disk.ts.
  bool IsShown(const char* name) const {
    return Begins(name, "user.") || (all_ && !Begins(name, "system."));
  }

  static bool Begins(const char* name, const char* with) { return strncmp(name, with, strlen(with)) == 0; }

  int directory_;
  std::vector<std::string> paths_;
  bool all_;
  // What Linux allows (XATTR_LIST_MAX).
  char names_[65536];
};

}  // namespace

napi_value ReadFiles(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  void* target = nullptr;
  size_t length = 0;
  napi_get_buffer_info(env, arguments[3], &target, &length);
  auto reading = std::make_unique<Reading>(static_cast<int>(arguments.Number(0)), Texts(env, arguments[1]),
                                           Numbers(env, arguments[2]), static_cast<uint8_t*>(target));
  return Batch::Start(env, std::move(reading), "syncline:read", arguments[3]);
}

napi_value BareFiles(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  auto baring = std::make_unique<Baring>(static_cast<int>(arguments.Number(0)), Texts(env, arguments[1]),
                                         arguments.Number(2) != 0);
  return Batch::Start(env, std::move(baring), "syncline:bare", nullptr);
}

}  // namespace syncline
