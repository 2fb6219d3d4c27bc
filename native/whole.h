// Integers that come from JavaScript as doubles. No N-API.
#pragma once

#include <cmath>
#include <limits>

#include "layout.h"

namespace syncline {

// Whether a number from JavaScript is an integer that `T` can hold exactly.
template <typename T>
bool Fits(double value, T low = std::numeric_limits<T>::min(), T high = std::numeric_limits<T>::max()) {
  return value == std::trunc(value) && std::abs(value) <= static_cast<double>(kMaxExact) &&
         value >= static_cast<double>(low) && value <= static_cast<double>(high);
}

}  // namespace syncline
