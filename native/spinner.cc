#include "spinner.h"

#include <poll.h>
#include <sched.h>
#include <uv.h>

#include <algorithm>

namespace syncline {
namespace {

// After a wait in vain this many requests are served without, doubled each time.
constexpr int kShortestRest = 2;
constexpr int kLongestRest = 32;

}  // namespace

void Spinner::Answered() { answeredAtNs_ = uv_hrtime(); }

bool Spinner::Expects(uint64_t nowNs) {
  if (nowNs - answeredAtNs_ >= spinNs_) return false;
  if (rest_ > 0) rest_--;
  return rest_ == 0;
}

bool Spinner::Wait(int device) {
  pollfd wait = {device, POLLIN, 0};
  do {
    if (poll(&wait, 1, 0) != 0) {
      lastRest_ = 0;
      return true;
    }
    // The program that was answered may be waiting for this very processor.
    sched_yield();
  } while (uv_hrtime() - answeredAtNs_ < spinNs_);
  rest_ = lastRest_ = std::clamp(2 * lastRest_, kShortestRest, kLongestRest);
  return false;
}

}  // namespace syncline
