#include "beneath_batch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "batch.h"
#include "beneath_calls.h"
#include "filesystem_kind.h"

namespace syncline {

namespace {

// Whether syncfs(2) makes all that was written before durable, and tells of a write that failed, which it does since Linux 5.8. Others, such as
// filesystems in user space, may not be told of it at all.
bool SyncsWhole(int directory) {
  if (!IsOnKnownFilesystem(directory)) return false;
  struct utsname system;
  int major = 0, minor = 0;
  if (uname(&system) != 0 || sscanf(system.release, "%d.%d", &major, &minor) != 2) return false;
  return major > 5 || (major == 5 && minor >= 8);
}

using Content = Arguments::Span;

// Columns of attributes.
constexpr size_t kMode = 0, kOwned = 1, kUid = 2, kGid = 3, kSeconds = 4, kNanoseconds = 5, kAttributeColumns = 6;

class Creation : public Batch {
 public:
  // How new files are made durable.
  static constexpr int kEach = 0, kTogether = 1;

  Creation(int directory, std::vector<std::string> names, std::vector<Content> contents, std::vector<double> attributes,
           int synced)
      : directory_(directory),
        names_(std::move(names)),
        contents_(std::move(contents)),
        attributes_(std::move(attributes)),
        synced_(synced) {}

 protected:
  void Run() override {
    rows_.assign(names_.size() * kColumns, 0);
    if (synced_ == kTogether && !SyncsWhole(directory_)) synced_ = kEach;
    for (size_t index = 0; index < names_.size() && error_ == 0; index++) CreateOne(index);
    if (synced_ == kTogether && error_ == 0) Check(syncfs(directory_), "syncfs");
  }

 private:
  void CreateOne(size_t index) {
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const int file = openat(directory_, names_[index].c_str(), flags, 0600);
    if (!Check(file < 0 ? -1 : 0, "openat")) return;
    const double* attributes = &attributes_[index * kAttributeColumns];
    if (Fill(file, contents_[index]) && SetAttributes(file, attributes) && (synced_ != kEach || Check(fsync(file), "fsync"))) {
      const int failed = LookAt(file, "", &rows_[index * kColumns]);
      if (failed != 0) Fail(failed, "statx");
    }
    if (close(file) != 0 && errno != EINTR && error_ == 0) Fail(errno, "close");
  }

  bool Fill(int file, const Content& content) {
    for (size_t done = 0; done < content.length;) {
      const ssize_t more = write(file, content.data + done, content.length - done);
      if (more < 0 && errno == EINTR) continue;
      if (more < 0) return Check(-1, "write");
      done += static_cast<size_t>(more);
    }
    return true;
  }

  bool SetAttributes(int file, const double* attributes) {
    // An owner that cannot be given is none; it goes before the mode, of which it clears bits.
    if (attributes[kOwned] != 0 &&
        fchown(file, static_cast<uid_t>(attributes[kUid]), static_cast<gid_t>(attributes[kGid])) != 0 && errno != EPERM &&
        errno != EINVAL && errno != ENOTSUP) {
      return Check(-1, "fchown");
    }
    timespec times[2] = {};
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_sec = static_cast<time_t>(attributes[kSeconds]);
    times[1].tv_nsec = static_cast<long>(attributes[kNanoseconds]);
    return Check(fchmod(file, static_cast<mode_t>(attributes[kMode])), "fchmod") && Check(futimens(file, times), "futimens");
  }

  bool Check(int result, const char* what) {
    if (result != 0) Fail(errno, what);
    return result == 0;
  }

  void Fail(int error, const char* what) {
    error_ = error;
    what_ = what;
  }

  int directory_;
  std::vector<std::string> names_;
  std::vector<Content> contents_;
  std::vector<double> attributes_;
  int synced_;
};

class Durability : public Batch {
 public:
  explicit Durability(int directory) : directory_(directory) {}

 protected:
  void Run() override {
    if (!SyncsWhole(directory_)) {
      error_ = ENOTSUP;
    } else if (syncfs(directory_) != 0) {
      error_ = errno;
    }
    what_ = "syncfs";
  }

 private:
  int directory_;
};

class Placement : public Batch {
 public:
  Placement(int root, int from, std::vector<std::string> names, std::vector<std::string> paths, int marks)
      : root_(root), from_(from), marks_(marks), names_(std::move(names)), paths_(std::move(paths)) {}

 protected:
  void Run() override {
    rows_.reserve(names_.size() * kColumns);
    for (size_t index = 0; index < names_.size() && PlaceOne(names_[index], paths_[index]); index++) {
    }
  }

 private:
  bool PlaceOne(const std::string& name, const std::string& path) {
    const size_t slash = path.rfind('/');
    const bool deep = slash != std::string::npos;
    // Anew for each: a directory may be moved away at any moment, and what was opened goes along.
    const int above = deep ? OpenAt(root_, path.substr(0, slash).c_str(), O_PATH | O_DIRECTORY, 0) : root_;
    if (above < 0) return false;
    const char* last = path.c_str() + (deep ? slash + 1 : 0);
    const bool placed = syscall(SYS_renameat2, from_, name.c_str(), above, last, kNoReplace) == 0;
    // Marks of later ones would be taken for this one's.
    if (placed && marks_ >= 0 && write(marks_, ".", 1) != 1) marks_ = -1;
    double row[kColumns] = {};
    if (placed && LookAt(above, last, row) != 0) std::fill(row, row + kColumns, 0);
    if (placed) rows_.insert(rows_.end(), row, row + kColumns);
    if (deep) close(above);
    return placed;
  }

  // RENAME_NOREPLACE (linux/fs.h).
  static constexpr unsigned kNoReplace = 1;

  int root_, from_, marks_;
  std::vector<std::string> names_, paths_;
};

bool AreAttributes(const double* columns) {
  return Fits<mode_t>(columns[kMode]) && Fits<int>(columns[kOwned], 0, 1) && Fits<uid_t>(columns[kUid]) &&
         Fits<gid_t>(columns[kGid]) && Fits<time_t>(columns[kSeconds]) && Fits<long>(columns[kNanoseconds], 0, kMostNanoseconds);
}

bool LeadsToEntry(const std::string& path) {
  const size_t slash = path.rfind('/');
  return IsEntryName(slash == std::string::npos ? path : path.substr(slash + 1));
}

}  // namespace

napi_value CreateFiles(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "createFiles");
  const int directory = arguments.Descriptor(0);
  std::vector<std::string> names = arguments.Names(1);
  napi_value kept = nullptr;
  std::vector<Content> contents = arguments.Buffers(2, &kept);
  std::vector<double> attributes = arguments.Doubles(3);
  const int synced = arguments.Whole<int>(4, 0, 2);
  if (contents.size() != names.size()) arguments.OutOfRange(2, "does not have one content for each name");
  if (attributes.size() != names.size() * kAttributeColumns) arguments.OutOfRange(3, "does not have six numbers for each name");
  for (size_t at = 0; at < attributes.size() && !arguments.Threw(); at += kAttributeColumns) {
    if (!AreAttributes(&attributes[at])) arguments.OutOfRange(3, "has a number that is not an integer in its range");
  }
  if (arguments.Threw()) return nullptr;
  auto creation = std::make_unique<Creation>(directory, std::move(names), std::move(contents), std::move(attributes), synced);
  return Batch::Start(env, std::move(creation), "syncline:create", kept);
}

napi_value SyncFilesystem(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "syncFilesystem");
  const int directory = arguments.Descriptor(0);
  if (arguments.Threw()) return nullptr;
  return Batch::Start(env, std::make_unique<Durability>(directory), "syncline:sync", nullptr);
}

napi_value PlaceFiles(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "placeFiles");
  const int root = arguments.Descriptor(0), from = arguments.Descriptor(1);
  std::vector<std::string> names = arguments.Names(2), paths = arguments.Texts(3);
  const int marks = arguments.Whole<int>(4, -1);
  if (paths.size() != names.size()) arguments.OutOfRange(3, "does not have one path for each name");
  if (!std::all_of(paths.begin(), paths.end(), LeadsToEntry)) arguments.OutOfRange(3, "has a path that ends in no name");
  if (arguments.Threw()) return nullptr;
  auto placement = std::make_unique<Placement>(root, from, std::move(names), std::move(paths), marks);
  return Batch::Start(env, std::move(placement), "syncline:place", nullptr);
}

}  // namespace syncline
