// Waits awake for the request that follows an answer, while programs ask one thing after another: sleeping and being woken costs
// more than what is asked. Gives up for a while when nothing came, or when somebody else had work for this processor.
#pragma once

#include <cstdint>

namespace syncline {

class Spinner {
 public:
  // `spinNs`: the longest wait after an answer; 0 never waits.
  explicit Spinner(uint64_t spinNs) : spinNs_(spinNs) {}

  // To be told of each answer.
  void Answered();
  // Whether a request that arrives now follows its predecessor so closely that another one may, too.
  bool Expects(uint64_t nowNs);
  // True when the device has a request, false when the time is over.
  bool Wait(int device);

 private:
  uint64_t spinNs_;
  uint64_t answeredAtNs_ = 0;
  // Requests until the next try, and how many that were last time.
  int rest_ = 0;
  int lastRest_ = 0;
};

}  // namespace syncline
