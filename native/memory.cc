#include "memory.h"

#include <sys/syscall.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace syncline {

#ifdef __GLIBC__
namespace {
// Two threads allocate much, others rarely: with an arena each, those would keep freed memory.
constexpr int kArenas = 2;
// Allocations from here on are mapped, so that freeing one gives it back at once. glibc's own threshold grows with what is freed.
constexpr int kMappedBytes = 1 << 20;
// What may be free at the end of the heap before it is given back.
constexpr int kTrimBytes = 1 << 20;
}  // namespace
#endif

napi_value BoundMemory(napi_env, napi_callback_info) {
#ifdef __GLIBC__
  mallopt(M_ARENA_MAX, kArenas);
  mallopt(M_MMAP_THRESHOLD, kMappedBytes);
  mallopt(M_TRIM_THRESHOLD, kTrimBytes);
#endif
  return nullptr;
}

napi_value TrimMemory(napi_env, napi_callback_info) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  return nullptr;
}

napi_value StartSession(napi_env, napi_callback_info) {
  (void)!setsid();
  return nullptr;
}

napi_value KeepAllFromChildren(napi_env, napi_callback_info) {
  constexpr unsigned kSetCloseOnExec = 4;  // CLOSE_RANGE_CLOEXEC
  syscall(SYS_close_range, STDERR_FILENO + 1U, ~0U, kSetCloseOnExec);
  return nullptr;
}

}  // namespace syncline
