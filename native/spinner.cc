#include "spinner.h"

#include <poll.h>
#include <sched.h>
#include <uv.h>

#include <algorithm>

namespace syncline {
namespace {

// What going to sleep and being woken takes, about: a wait that came to something has spared it.
constexpr uint64_t kWakeNs = 30'000;
constexpr uint64_t kMostCreditNs = 16 * kWakeNs;
// A program that is so many times slower than what is waited for may have been held up once.
constexpr uint64_t kSlack = 4;
// Without credit this many requests are served without a wait, doubled each time.
constexpr int kShortestRest = 2;
constexpr int kLongestRest = 32;
// When the thread yields, another program may keep the processor for some milliseconds, however low its priority. The thread then
// stays awake for no request until this many times as long has passed.
constexpr uint64_t kDisplacedRests = 100;

}  // namespace

void Spinner::Answered() { answeredAtNs_ = uv_hrtime(); }

bool Spinner::Expects(uint64_t nowNs) {
  if (nowNs - answeredAtNs_ >= kSlack * spinNs_ || nowNs < displacedUntilNs_) return false;
  if (rest_ > 0) rest_--;
  return rest_ == 0;
}

bool Spinner::Wait(int device) {
  pollfd wait = {device, POLLIN, 0};
  uint64_t nowNs = uv_hrtime(), yieldNs = 0;
  do {
    if (poll(&wait, 1, 0) != 0) {
      creditNs_ = std::min(creditNs_ + kWakeNs, kMostCreditNs);
      lastRest_ = 0;
      return true;
    }
    // The program that was answered may be waiting for this very processor.
    sched_yield();
    yieldNs = uv_hrtime() - nowNs;
    nowNs += yieldNs;
  } while (nowNs - answeredAtNs_ < spinNs_);
  if (yieldNs > spinNs_ && poll(&wait, 1, 0) == 0) displacedUntilNs_ = nowNs + kDisplacedRests * yieldNs;
  if (creditNs_ >= spinNs_) {
    creditNs_ -= spinNs_;
  } else {
    creditNs_ = 0;
    rest_ = lastRest_ = std::clamp(2 * lastRest_, kShortestRest, kLongestRest);
  }
  return false;
}

}  // namespace syncline
