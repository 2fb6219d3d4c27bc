#include "mount_memory.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "request_slots.h"

namespace syncline {
namespace {

// Pages may have up to 64 KiB.
constexpr off_t kPage = 64 * 1024;
constexpr off_t kOpensAt = (RequestSlots::kBytes + kPage - 1) / kPage * kPage;
constexpr off_t kFileBytes = kOpensAt + static_cast<off_t>(kOpensBytes);

}  // namespace

int CreateMountMemory() {
  const int descriptor = memfd_create("syncline-mount", MFD_CLOEXEC);
  if (descriptor < 0) return -1;
  // A page takes memory only once it is written to.
  if (ftruncate(descriptor, kFileBytes) == 0) return descriptor;
  close(descriptor);
  return -1;
}

char* MapOpens(int descriptor) {
  struct stat file;
  if (fstat(descriptor, &file) != 0 || file.st_size < kFileBytes) return nullptr;
  constexpr int kBoth = PROT_READ | PROT_WRITE;
  void* const opens = mmap(nullptr, kOpensBytes, kBoth, MAP_SHARED | MAP_NORESERVE, descriptor, kOpensAt);
  return opens == MAP_FAILED ? nullptr : static_cast<char*>(opens);
}

void UnmapOpens(char* opens) { munmap(opens, kOpensBytes); }

}  // namespace syncline
