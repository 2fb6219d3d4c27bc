// Waits awake for the request that follows an answer, while programs ask one thing after another: sleeping and being woken costs
// more than what is asked. What is waited in vain is paid for by the waits that spared that; without credit it rests for a while.
#pragma once

#include <cstdint>

namespace syncline {

class Spinner {
 public:
  // `spinNs`: the longest wait after an answer; 0 never waits.
  explicit Spinner(uint64_t spinNs) : spinNs_(spinNs) {}

  // To be told of each answer.
  void Answered();
  // Whether a request that arrives now follows its predecessor so soon that another one may be worth a wait.
  bool Expects(uint64_t nowNs);
  // True when the device has a request, false when the time is over.
  bool Wait(int device);

 private:
  uint64_t spinNs_;
  uint64_t answeredAtNs_ = 0;
  // How much more may be waited in vain.
  uint64_t creditNs_ = 0;
  // Until then it waits for nothing, since others want the processor.
  uint64_t displacedUntilNs_ = 0;
  // Requests until the next try, and how many that were last time.
  int rest_ = 0;
  int lastRest_ = 0;
};

}  // namespace syncline
