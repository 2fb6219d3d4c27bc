// Small helpers over N-API.
#pragma once

#include <node_api.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

namespace syncline {

// A string whose chars are bytes.
inline std::string BytesOf(napi_env env, napi_value value) {
  size_t length = 0;
  napi_get_value_string_latin1(env, value, nullptr, 0, &length);
  std::string text(length, '\0');
  napi_get_value_string_latin1(env, value, text.data(), length + 1, &length);
  return text;
}

// The arguments of a call, and what the function was made with.
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info) : env_(env) {
    count_ = kMost;
    napi_get_cb_info(env, info, &count_, values_, nullptr, &data_);
  }

  template <typename T>
  T* Data() const {
    return static_cast<T*>(data_);
  }
  napi_value operator[](size_t index) const { return values_[index]; }
  double Number(size_t index) const {
    double value = 0;
    napi_get_value_double(env_, values_[index], &value);
    return value;
  }
  std::string Bytes(size_t index) const { return BytesOf(env_, values_[index]); }

 private:
  static constexpr size_t kMost = 8;
  napi_env env_;
  size_t count_;
  napi_value values_[kMost];
  void* data_ = nullptr;
};

inline napi_value Number(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}

inline double NumberProperty(napi_env env, napi_value object, const char* name) {
  napi_value value;
  double number = 0;
  if (napi_get_named_property(env, object, name, &value) == napi_ok) napi_get_value_double(env, value, &number);
  return number;
}

// A Float64Array.
inline napi_value Doubles(napi_env env, const std::vector<double>& numbers) {
  void* data = nullptr;
  napi_value buffer, array;
  napi_create_arraybuffer(env, numbers.size() * sizeof(double), &data, &buffer);
  if (!numbers.empty()) memcpy(data, numbers.data(), numbers.size() * sizeof(double));
  napi_create_typedarray(env, napi_float64_array, numbers.size(), buffer, 0, &array);
  return array;
}

// An Error with a numeric `errno`, as "what: reason".
inline napi_value ErrnoError(napi_env env, const char* what, int error) {
  const std::string text = std::string(what) + ": " + strerror(error);
  napi_value message, object;
  napi_create_string_utf8(env, text.data(), text.size(), &message);
  napi_create_error(env, nullptr, message, &object);
  napi_set_named_property(env, object, "errno", Number(env, error));
  return object;
}

// Throws it.
inline napi_value ThrowErrno(napi_env env, const char* what, int error) {
  napi_throw(env, ErrnoError(env, what, error));
  return nullptr;
}

inline void Define(napi_env env, napi_value object, const char* name, napi_callback function, void* data) {
  napi_value value;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, function, data, &value);
  napi_set_named_property(env, object, name, value);
}

}  // namespace syncline
