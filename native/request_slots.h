// Requests that were read and not answered, in memory that outlives the agent: before Linux 6.9, the kernel cannot send them
// again.
//
// A request is read into the input. It stays there until it is answered, or is moved to a kept slot if its answer takes longer.
// Whenever this process is killed, each request is in at least one of the two places. If it is in both, its number shows that.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "layout.h"

namespace syncline {

class RequestSlots {
 public:
  // More requests than usually wait at a time. Any further ones are not kept.
  static constexpr int kSlots = 4096;
  // At the start of the mount's memory (mount_memory.h).
  static constexpr size_t kHeadBytes = 8192;
  static constexpr size_t kSlotsAt = kHeadBytes + kInputBytes;
  static constexpr off_t kBytes = kSlotsAt + off_t{kSlots} * kMaxRequest;

  RequestSlots() = default;
  RequestSlots(const RequestSlots&) = delete;
  RequestSlots& operator=(const RequestSlots&) = delete;
  ~RequestSlots();

  // Maps the memory. Returns the input of kInputBytes, which the caller then owns; null with errno if that fails.
  char* Map(int descriptor);
  // Ends the mapping of an input.
  static void Unmap(char* input);
  bool IsMapped() const { return head_ != nullptr; }

  // Starts a batch. Everything in the input must be answered or moved.
  void BeginBatch();
  // The next request will be read into the input at offset `at`.
  void Expect(size_t at);
  // The request that was expected last needs no answer.
  void Drop();
  // The batch's entry for the last request.
  int Last() const;
  // A request of the batch is answered.
  void Clear(int entry);
  // Moves a request of the batch to a slot. Returns the slot, or a negative number if all are taken.
  int Keep(int entry);
  // A moved request is answered.
  void Release(int slot);
  // The slots of all requests that another agent did not answer. Not to be called during a batch.
  std::vector<int> Recover();
  // A kept request.
  std::string_view At(int slot) const;

 private:
  struct Head;

  char* Slot(int slot) const;
  int KeepBytes(const char* bytes, size_t length);

  Head* head_ = nullptr;
  char* input_ = nullptr;
  char* slots_ = nullptr;
  int nextSlot_ = 0;
};

}  // namespace syncline
