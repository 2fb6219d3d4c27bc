// Tells the kernel what changed behind its back, from a thread of its own: such a write waits for locks that are held while a
// request is unanswered, so the thread that answers must never do it.
//
// Messages that need the locks of a waiting request are held until it is answered: Hold() and Release() tell of such requests.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace syncline {

class Notifier {
 public:
  // `forgotten` is called on the notifier's thread with an inode that the kernel does not know; then the eventfd counts up. That
  // thread has no other descriptor than these two.
  Notifier(int device, int event, std::function<void(uint64_t)> forgotten);
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Drops attributes, and cached bytes from `offset` on (`length` 0: to the end; offset -1: attributes only).
  void InvalidateInode(uint64_t inode, int64_t offset, int64_t length);
  void InvalidateEntry(uint64_t parent, std::string name);
  // The name is looked up again at its next use, but is not dropped: mounts on it stay.
  void ExpireEntry(uint64_t parent, std::string name);
  // Like InvalidateEntry, for a child that has no link any more. On Linux 6.18, inotify watchers of the child get IN_DELETE_SELF,
  // unless it is open. Watchers of the directory are not told of either call.
  //
  // The kernel locks the parent, then the child. If a request that waits holds the child's lock, lookups in the parent would hang. So
  // for a child that is held, or that programs use, the name and the child's attributes are dropped instead. A request that the
  // kernel has just begun cannot be seen here; it is answered soon, unless it then waits.
  void DeleteEntry(uint64_t parent, uint64_t child, std::string name, bool isUsed);
  // Every cached name is looked up again (protocol 7.44).
  void IncrementEpoch();
  // Calls `forgotten` if the kernel does not know the inode. Waits a little to ask about several at once: each round wakes two
  // threads, and programs often remove many files.
  void Probe(uint64_t inode);

  // From now until Release(), a request holds locks of the inode. Both count.
  void Hold(uint64_t inode);
  void Release(uint64_t inode);

  // Drops what is queued and lets the thread end; true once it has ended. Until then the device must be answered.
  bool Stop();

 private:
  struct Notice;
  struct Held;
  struct Shared;

  void Push(Notice notice);
  static void Run(std::shared_ptr<Shared> shared);

  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace syncline
