// Requests that another process read and did not answer.
#pragma once

#include <deque>
#include <string>

#include "request_slots.h"

namespace syncline {

// In `bytes`, or in a slot if `slot` is not negative.
struct Recovered {
  std::string bytes;
  int slot;
};

// Puts the appends last, those of an inode in the order of the kernel's offsets. Such appends are pieces of one write(2), which the
// kernel locks the inode for, so their offsets tell the order, however the kernel numbers requests.
void OrderAppends(std::deque<Recovered>* requests, const RequestSlots& slots);

}  // namespace syncline
