#include "memory.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace syncline {

napi_value TrimMemory(napi_env, napi_callback_info) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  return nullptr;
}

}  // namespace syncline
