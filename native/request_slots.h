// Requests that were read and not answered, in memory that outlives the agent: before Linux 6.9, the kernel cannot send them again.
//
// A request is read into the input, and stays there until it is answered, or is moved to a kept slot when its answer takes longer. The
// memory is a file without a name, which the supervisor hands to the next agent. At any moment that this process may be killed, each request
// is in one place at least; one that is in two is found by its number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "layout.h"

namespace syncline {

class RequestSlots {
 public:
  // A descriptor of new memory; negative if there is none.
  static int Create();

  RequestSlots() = default;
  RequestSlots(const RequestSlots&) = delete;
  RequestSlots& operator=(const RequestSlots&) = delete;
  ~RequestSlots();

  // The input's memory, which the caller then owns: kInputBytes. Null with errno.
  char* Map(int descriptor);
  bool IsMapped() const { return head_ != nullptr; }

  // Starts a batch. Everything in the input must be answered or moved.
  void BeginBatch();
  // The next request will be read to `at` of the input.
  void Expect(size_t at);
  // The request that was expected last needs no answer any more.
  void Drop();
  // Which of the batch the last one is.
  int Last() const;
  // A request of the batch is answered.
  void Clear(int entry);
  // Moves a request of the batch; its slot, or negative if all are taken.
  int Keep(int entry);
  // A moved request is answered.
  void Release(int slot);
  // The slots of all that another agent did not answer. Not during a batch.
  std::vector<int> Recover();
  // Copies a kept request; its length.
  size_t Copy(int slot, char* to) const;

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
