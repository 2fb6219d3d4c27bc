#include "notifier.h"

#include <sched.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <iterator>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "kernel.h"

namespace syncline {

struct Notifier::Notice {
  enum Kind { kInode, kEntry, kExpiry, kDelete, kEpoch } kind;
  uint64_t inode = 0;  // the parent of a name
  uint64_t child = 0;
  int64_t offset = 0;
  int64_t length = 0;
  std::string name;

  static Notice AttributesOf(uint64_t inode) { return {kInode, inode, 0, -1, 0, {}}; }
  // Whether the kernel takes locks of `inode` for it.
  bool NeedsLock() const { return kind == kEntry || kind == kExpiry || kind == kDelete || (kind == kInode && offset >= 0); }
};

// What the locks of one inode hold up.
struct Notifier::Held {
  int requests = 0;
  std::vector<Notice> after;
};

struct Notifier::Shared {
  int device;
  int event;
  std::function<void(uint64_t)> forgotten;
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Notice> queue;
  // Inodes to ask about together, at `askAt`.
  std::vector<uint64_t> asked;
  std::chrono::steady_clock::time_point askAt;
  std::unordered_map<uint64_t, Held> held;
  bool stopping = false;
  bool ended = false;

  // Takes the next notice that can be sent now, if there is one.
  std::optional<Notice> Take();
  // Waits until there may be something to do.
  void Wait(std::unique_lock<std::mutex>& lock);
  // Asks the kernel about the inodes. Releases the lock meanwhile.
  void Ask(std::unique_lock<std::mutex>& lock);
};

namespace {

constexpr std::chrono::milliseconds kProbesWait(2);

// Returns 0 or a positive errno.
int Send(int device, int code, const void* body, size_t bodyBytes, const std::string& name) {
  const size_t nameBytes = name.empty() ? 0 : name.size() + 1;
  fuse_out_header header = {static_cast<uint32_t>(sizeof header + bodyBytes + nameBytes), code, 0};
  iovec parts[3] = {{&header, sizeof header},
                    {const_cast<void*>(body), bodyBytes},
                    {const_cast<char*>(name.c_str()), nameBytes}};
  return writev(device, parts, nameBytes ? 3 : bodyBytes ? 2 : 1) < 0 ? errno : 0;
}

int SendInode(int device, uint64_t inode, int64_t offset, int64_t length) {
  const fuse_notify_inval_inode_out body = {inode, offset, length};
  return Send(device, FUSE_NOTIFY_INVAL_INODE, &body, sizeof body, {});
}

// A table of descriptors of its own, with these two alone: where a killed agent's thread still sleeps in the kernel, all else that
// the agent held (locks, sockets, the guard's pipe) is let go of with the other threads. Best effort: close_range(2) is of 5.9.
void KeepDescriptors(int one, int other) {
  if (unshare(CLONE_FILES) != 0) return;
  const auto first = static_cast<unsigned>(std::min(one, other)), second = static_cast<unsigned>(std::max(one, other));
  if (first > 0) syscall(SYS_close_range, 0U, first - 1, 0U);
  if (second - first > 1) syscall(SYS_close_range, first + 1, second - 1, 0U);
  syscall(SYS_close_range, second + 1, ~0U, 0U);
}

}  // namespace

Notifier::Notifier(int device, int event, std::function<void(uint64_t)> forgotten)
    : shared_(std::make_shared<Shared>()) {
  shared_->device = device;
  shared_->event = event;
  shared_->forgotten = std::move(forgotten);
  thread_ = std::thread(Run, shared_);
}

Notifier::~Notifier() {
  if (thread_.joinable() && !Stop()) thread_.detach();
}

void Notifier::Push(Notice notice) {
  std::lock_guard<std::mutex> lock(shared_->mutex);
  if (shared_->stopping) return;
  shared_->queue.push_back(std::move(notice));
  shared_->wake.notify_one();
}

void Notifier::InvalidateInode(uint64_t inode, int64_t offset, int64_t length) {
  Push({Notice::kInode, inode, 0, offset, length, {}});
}

void Notifier::InvalidateEntry(uint64_t parent, std::string name) {
  Push({Notice::kEntry, parent, 0, 0, 0, std::move(name)});
}

void Notifier::ExpireEntry(uint64_t parent, std::string name) {
  Push({Notice::kExpiry, parent, 0, 0, 0, std::move(name)});
}

void Notifier::DeleteEntry(uint64_t parent, uint64_t child, std::string name, bool isUsed) {
  if (!isUsed) return Push({Notice::kDelete, parent, child, 0, 0, std::move(name)});
  InvalidateEntry(parent, std::move(name));
  Push(Notice::AttributesOf(child));
}

void Notifier::IncrementEpoch() { Push({Notice::kEpoch, 0, 0, 0, 0, {}}); }

void Notifier::Probe(uint64_t inode) {
  std::lock_guard<std::mutex> lock(shared_->mutex);
  if (shared_->stopping) return;
  shared_->asked.push_back(inode);
  if (shared_->asked.size() > 1) return;
  shared_->askAt = std::chrono::steady_clock::now() + kProbesWait;
  shared_->wake.notify_one();
}

void Notifier::Hold(uint64_t inode) {
  std::lock_guard<std::mutex> lock(shared_->mutex);
  shared_->held[inode].requests++;
}

void Notifier::Release(uint64_t inode) {
  std::lock_guard<std::mutex> lock(shared_->mutex);
  const auto found = shared_->held.find(inode);
  if (found == shared_->held.end() || --found->second.requests > 0) return;
  if (!shared_->stopping) std::move(found->second.after.begin(), found->second.after.end(), std::back_inserter(shared_->queue));
  shared_->held.erase(found);
  shared_->wake.notify_one();
}

std::optional<Notifier::Notice> Notifier::Shared::Take() {
  while (!queue.empty()) {
    Notice notice = std::move(queue.front());
    queue.pop_front();
    if (const auto found = held.find(notice.inode); found != held.end() && notice.NeedsLock()) {
      found->second.after.push_back(std::move(notice));
      continue;
    }
    if (notice.kind == Notice::kDelete && held.count(notice.child)) {
      notice.kind = Notice::kEntry;
      queue.push_front(Notice::AttributesOf(notice.child));
    }
    return notice;
  }
  return std::nullopt;
}

void Notifier::Shared::Wait(std::unique_lock<std::mutex>& lock) {
  const auto hasWork = [this] { return stopping || !queue.empty(); };
  if (!asked.empty()) {
    wake.wait_until(lock, askAt, hasWork);
  } else {
    wake.wait(lock, [&] { return hasWork() || !asked.empty(); });
  }
}

void Notifier::Shared::Ask(std::unique_lock<std::mutex>& lock) {
  std::vector<uint64_t> inodes;
  inodes.swap(asked);
  lock.unlock();
  // With offset -1 nothing is dropped but attributes, and ENOENT says that the inode is gone from memory.
  const auto isKnown = [this](uint64_t inode) { return SendInode(device, inode, -1, 0) != ENOENT; };
  inodes.erase(std::remove_if(inodes.begin(), inodes.end(), isKnown), inodes.end());
  lock.lock();
  // Under the lock: after Stop() answered true nobody is called any more.
  if (stopping || inodes.empty()) return;
  for (const uint64_t inode : inodes) forgotten(inode);
  const uint64_t one = 1;
  (void)!write(event, &one, sizeof one);
}

bool Notifier::Stop() {
  {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    shared_->stopping = true;
    shared_->queue.clear();
    shared_->asked.clear();
    shared_->wake.notify_one();
    if (!shared_->ended) return false;
  }
  if (thread_.joinable()) thread_.join();
  return true;
}

void Notifier::Run(std::shared_ptr<Shared> shared) {
  KeepDescriptors(shared->device, shared->event);
  std::unique_lock<std::mutex> lock(shared->mutex);
  for (;;) {
    shared->Wait(lock);
    if (shared->stopping) break;
    const std::optional<Notice> taken = shared->Take();
    if (!taken) {
      if (!shared->asked.empty() && std::chrono::steady_clock::now() >= shared->askAt) shared->Ask(lock);
      continue;
    }
    const Notice& notice = *taken;
    lock.unlock();
    const int device = shared->device;
    switch (notice.kind) {
      case Notice::kInode:
        SendInode(device, notice.inode, notice.offset, notice.length);
        break;
      case Notice::kEntry:
      case Notice::kExpiry: {
        const uint32_t flags = notice.kind == Notice::kExpiry ? kExpireOnly : 0;
        const fuse_notify_inval_entry_out body = {notice.inode, static_cast<uint32_t>(notice.name.size()), flags};
        Send(device, FUSE_NOTIFY_INVAL_ENTRY, &body, sizeof body, notice.name);
        break;
      }
      case Notice::kDelete: {
        const fuse_notify_delete_out body = {notice.inode, notice.child, static_cast<uint32_t>(notice.name.size()), 0};
        // A directory that still lists children here, or a mount point: the name goes, the object is left to its users.
        if (Send(device, FUSE_NOTIFY_DELETE, &body, sizeof body, notice.name) != 0) {
          const fuse_notify_inval_entry_out entry = {notice.inode, static_cast<uint32_t>(notice.name.size()), 0};
          Send(device, FUSE_NOTIFY_INVAL_ENTRY, &entry, sizeof entry, notice.name);
        }
        break;
      }
      case Notice::kEpoch:
        Send(device, kNotifyIncEpoch, nullptr, 0, {});
        break;
    }
    lock.lock();
  }
  shared->ended = true;
}

}  // namespace syncline
