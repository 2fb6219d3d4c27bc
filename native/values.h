// Small helpers over N-API.
#pragma once

#include <node_api.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <limits>
#include <string>
#include <vector>

#include "whole.h"

namespace syncline {

// What utimensat(2) takes as a time; above are UTIME_NOW and UTIME_OMIT.
constexpr long kMostNanoseconds = 999'999'999;

// Whether this names an entry of a directory, and so leads nowhere else.
inline bool IsEntryName(const std::string& name) {
  return name != "." && name != ".." && name.find('/') == std::string::npos;
}

// The arguments of a call. The first one that is wrong throws a TypeError or RangeError; from then on every getter returns an
// empty value. A function reads all of its arguments, then asks Threw() once, before it does anything.
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info, const char* call) : env_(env), call_(call) {
    size_t count = kMost;
    // Missing arguments become undefined.
    napi_get_cb_info(env, info, &count, values_, nullptr, nullptr);
  }

  bool Threw() const { return threw_; }
  napi_value operator[](size_t index) const { return values_[index]; }

  template <typename T>
  T Whole(size_t index, T low = std::numeric_limits<T>::min(), T high = std::numeric_limits<T>::max()) {
    double value = 0;
    if (threw_) return T{};
    if (napi_get_value_double(env_, values_[index], &value) != napi_ok) return WrongType(index, "a number"), T{};
    if (!Fits<T>(value, low, high)) return OutOfRange(index, "is not an integer in its range"), T{};
    return static_cast<T>(value);
  }
  int Descriptor(size_t index) { return Whole<int>(index, 0); }
  bool Flag(size_t index) { return Whole<int>(index, 0, 1) == 1; }
  // Seconds, and in the next argument nanoseconds.
  timespec Time(size_t index) {
    timespec time = {};
    time.tv_sec = Whole<time_t>(index);
    time.tv_nsec = Whole<long>(index + 1, 0, kMostNanoseconds);
    return time;
  }
  uint64_t Inode(size_t index) { return Whole<uint64_t>(index); }

  // A string whose chars are bytes, none of them 0: the kernel would take that for the end.
  std::string Bytes(size_t index) { return BytesOf(index, values_[index]); }

  // The name of an entry of a directory, or "", which means the directory itself.
  std::string Name(size_t index) { return NameOf(index, values_[index]); }

  std::vector<std::string> Texts(size_t index) {
    return Elements<std::string>(index, [&](napi_value each) { return BytesOf(index, each); });
  }
  std::vector<std::string> Names(size_t index) {
    return Elements<std::string>(index, [&](napi_value each) { return NameOf(index, each); });
  }

  // The bytes of a Buffer or Uint8Array; they live as long as it does.
  struct Span {
    uint8_t* data = nullptr;
    size_t length = 0;
  };
  Span Buffer(size_t index) { return SpanOf(index, values_[index]); }

  // The bytes of each Buffer in an array. `kept`: an array of these very buffers that nobody else can change.
  std::vector<Span> Buffers(size_t index, napi_value* kept) {
    uint32_t count = 0;
    if (!threw_) napi_create_array(env_, kept);
    return Elements<Span>(index, [&](napi_value each) {
      if (!threw_) napi_set_element(env_, *kept, count++, each);
      return SpanOf(index, each);
    });
  }

  // A copy of a Float64Array.
  std::vector<double> Doubles(size_t index) {
    napi_typedarray_type type = napi_int8_array;
    size_t length = 0;
    void* data = nullptr;
    if (threw_) return {};
    if (napi_get_typedarray_info(env_, values_[index], &type, &length, &data, nullptr, nullptr) != napi_ok || type != napi_float64_array) {
      WrongType(index, "a Float64Array");
      return {};
    }
    const auto* numbers = static_cast<const double*>(data);
    return std::vector<double>(numbers, numbers + length);
  }

  // A number in an object, from `low` to `high`; it need not be whole.
  double Property(size_t index, const char* name, double low, double high) {
    napi_value value;
    double number = 0;
    if (threw_) return low;
    if (!IsObject(values_[index])) return WrongType(index, "an object"), low;
    if (napi_get_named_property(env_, values_[index], name, &value) != napi_ok) return threw_ = true, low;
    const std::string what = std::string("its property ") + name;
    if (napi_get_value_double(env_, value, &number) != napi_ok) return WrongType(index, (what + " a number").c_str()), low;
    if (!(number >= low && number <= high)) return OutOfRange(index, ("has " + what + " out of range").c_str()), low;
    return number;
  }

  napi_value Function(size_t index, const char* name) {
    napi_value function = nullptr;
    napi_valuetype type = napi_undefined;
    if (threw_) return nullptr;
    if (!IsObject(values_[index])) return WrongType(index, "an object"), nullptr;
    if (napi_get_named_property(env_, values_[index], name, &function) != napi_ok) return threw_ = true, nullptr;
    napi_typeof(env_, function, &type);
    if (type != napi_function) WrongType(index, (std::string("an object with the function ") + name).c_str());
    return function;
  }

  // For what only a function itself can judge, such as how long one argument is beside another.
  void OutOfRange(size_t index, const char* problem) {
    if (!threw_) napi_throw_range_error(env_, nullptr, Text(index, problem).c_str());
    threw_ = true;
  }

 private:
  static constexpr size_t kMost = 8;

  void WrongType(size_t index, const char* wanted) {
    if (!threw_) napi_throw_type_error(env_, nullptr, Text(index, (std::string("must be ") + wanted).c_str()).c_str());
    threw_ = true;
  }

  std::string Text(size_t index, const char* problem) const {
    return std::string(call_) + ": argument " + std::to_string(index + 1) + " " + problem;
  }

  bool IsObject(napi_value value) const {
    napi_valuetype type = napi_undefined;
    napi_typeof(env_, value, &type);
    return type == napi_object;
  }

  std::string BytesOf(size_t index, napi_value value) {
    size_t length = 0;
    if (threw_) return {};
    if (napi_get_value_string_utf16(env_, value, nullptr, 0, &length) != napi_ok) return WrongType(index, "a string"), std::string();
    std::u16string wide(length, u'\0');
    napi_get_value_string_utf16(env_, value, wide.data(), length + 1, &length);
    std::string text(length, '\0');
    for (size_t at = 0; at < length; at++) {
      if (wide[at] == 0 || wide[at] > 0xff) return OutOfRange(index, "has a char that is no byte from 1 to 255"), std::string();
      text[at] = static_cast<char>(wide[at]);
    }
    return text;
  }

  std::string NameOf(size_t index, napi_value value) {
    std::string name = BytesOf(index, value);
    if (!IsEntryName(name)) OutOfRange(index, "is not the name of a directory's entry");
    return name;
  }

  Span SpanOf(size_t index, napi_value value) {
    bool isBuffer = false;
    void* data = nullptr;
    Span span;
    if (threw_) return span;
    if (napi_is_buffer(env_, value, &isBuffer) != napi_ok || !isBuffer ||
        napi_get_buffer_info(env_, value, &data, &span.length) != napi_ok) {
      return WrongType(index, "a Buffer"), Span();
    }
    span.data = static_cast<uint8_t*>(data);
    return span;
  }

  template <typename T, typename Read>
  std::vector<T> Elements(size_t index, Read read) {
    bool isArray = false;
    uint32_t length = 0;
    if (threw_) return {};
    if (napi_is_array(env_, values_[index], &isArray) != napi_ok || !isArray) return WrongType(index, "an array"), std::vector<T>();
    napi_get_array_length(env_, values_[index], &length);
    std::vector<T> elements;
    for (uint32_t at = 0; at < length && !threw_; at++) {
      napi_value each;
      // An accessor may throw on its own.
      if (napi_get_element(env_, values_[index], at, &each) != napi_ok) return threw_ = true, std::vector<T>();
      elements.push_back(read(each));
    }
    return elements;
  }

  napi_env env_;
  const char* call_;
  napi_value values_[kMost];
  bool threw_ = false;
};

inline napi_value Number(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
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
