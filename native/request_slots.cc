#include "request_slots.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "kernel.h"

namespace syncline {
namespace {

// The memory of a larger request is returned to the system.
constexpr uint32_t kSmall = 16 * 1024;

// The next agent reads these numbers after this process was killed, so each is written in one piece, and in order.
template <typename Number>
void Set(Number* to, Number value) {
  __atomic_store_n(to, value, __ATOMIC_RELEASE);
}

// Of a slot's memory, returns the pages that are the slot's alone.
void ReturnMemory(char* slot) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t from = (reinterpret_cast<uintptr_t>(slot) + page - 1) & ~(page - 1);
  const uintptr_t to = (reinterpret_cast<uintptr_t>(slot) + kMaxRequest) & ~(page - 1);
  (void)madvise(reinterpret_cast<void*>(from), to - from, MADV_REMOVE);
}

fuse_in_header* HeaderOf(char* request) { return reinterpret_cast<fuse_in_header*>(request); }

bool IsRequest(const fuse_in_header& header) {
  return header.len >= sizeof header && header.len <= kMaxRequest;
}

}  // namespace

struct RequestSlots::Head {
  // The requests of the batch, and where each begins in the input. The length in a request's header is 0 before the request
  // has been read, and again once it is answered.
  uint32_t count;
  uint32_t starts[kRows];
  uint8_t isTaken[kSlots];
};

RequestSlots::~RequestSlots() {
  if (head_) munmap(head_, kHeadBytes);
  if (slots_) munmap(slots_ - kSlotsAt, kBytes);
}

char* RequestSlots::Map(int descriptor) {
  static_assert(sizeof(Head) <= kHeadBytes);
  constexpr int kBoth = PROT_READ | PROT_WRITE;
  struct stat file;
  if (fstat(descriptor, &file) != 0) return nullptr;
  if (file.st_size < kBytes) {
    errno = EINVAL;
    return nullptr;
  }
  // Every mapping begins where the file begins: where its parts begin is no multiple of larger pages, of up to 64 KiB.
  void* const head = mmap(nullptr, kHeadBytes, kBoth, MAP_SHARED | MAP_POPULATE, descriptor, 0);
  void* const input = mmap(nullptr, kSlotsAt, kBoth, MAP_SHARED | MAP_POPULATE, descriptor, 0);
  void* const slots = mmap(nullptr, kBytes, kBoth, MAP_SHARED | MAP_NORESERVE, descriptor, 0);
  if (head == MAP_FAILED || input == MAP_FAILED || slots == MAP_FAILED) {
    const int error = errno;
    if (head != MAP_FAILED) munmap(head, kHeadBytes);
    if (input != MAP_FAILED) munmap(input, kSlotsAt);
    if (slots != MAP_FAILED) munmap(slots, kBytes);
    errno = error;
    return nullptr;
  }
  // Keeps the pages resident: a kill during a page fault, while the kernel copies a request, would lose it. Best effort.
  (void)mlock(head, kHeadBytes);
  (void)mlock(input, kSlotsAt);
  head_ = static_cast<Head*>(head);
  input_ = static_cast<char*>(input) + kHeadBytes;
  slots_ = static_cast<char*>(slots) + kSlotsAt;
  return input_;
}

void RequestSlots::Unmap(char* input) { munmap(input - kHeadBytes, kSlotsAt); }

void RequestSlots::BeginBatch() { Set(&head_->count, 0u); }

void RequestSlots::Expect(size_t at) {
  const uint32_t count = head_->count;
  Set(&HeaderOf(input_ + at)->len, 0u);
  Set(&head_->starts[count], static_cast<uint32_t>(at));
  Set(&head_->count, count + 1);
}

void RequestSlots::Drop() { Set(&head_->count, head_->count - 1); }

int RequestSlots::Last() const { return static_cast<int>(head_->count) - 1; }

void RequestSlots::Clear(int entry) { Set(&HeaderOf(input_ + head_->starts[entry])->len, 0u); }

int RequestSlots::Keep(int entry) {
  char* const request = input_ + head_->starts[entry];
  const int slot = KeepBytes(request, HeaderOf(request)->len);
  Clear(entry);
  return slot;
}

int RequestSlots::KeepBytes(const char* bytes, size_t length) {
  for (int tried = 0; tried < kSlots; tried++) {
    const int slot = nextSlot_;
    nextSlot_ = (nextSlot_ + 1) % kSlots;
    if (head_->isTaken[slot]) continue;
    memcpy(Slot(slot), bytes, length);
    Set(&head_->isTaken[slot], uint8_t{1});
    return slot;
  }
  return -1;
}

void RequestSlots::Release(int slot) {
  const uint32_t length = HeaderOf(Slot(slot))->len;
  Set(&head_->isTaken[slot], uint8_t{0});
  if (length > kSmall) ReturnMemory(Slot(slot));
}

std::vector<int> RequestSlots::Recover() {
  std::vector<int> found;
  const auto isKept = [&](uint64_t unique) {
    for (const int slot : found) {
      if (HeaderOf(Slot(slot))->unique == unique) return true;
    }
    return false;
  };
  for (int slot = 0; slot < kSlots; slot++) {
    if (head_->isTaken[slot] && IsRequest(*HeaderOf(Slot(slot)))) found.push_back(slot);
  }
  const uint32_t count = head_->count <= kRows ? head_->count : 0;
  for (uint32_t entry = 0; entry < count; entry++) {
    if (head_->starts[entry] + kMaxRequest > kInputBytes) continue;
    const fuse_in_header& header = *HeaderOf(input_ + head_->starts[entry]);
    if (!IsRequest(header)) continue;
    if (isKept(header.unique)) {
      Clear(static_cast<int>(entry));
      continue;
    }
    const int slot = Keep(static_cast<int>(entry));
    if (slot >= 0) found.push_back(slot);
  }
  BeginBatch();
  return found;
}

std::string_view RequestSlots::At(int slot) const { return {Slot(slot), HeaderOf(Slot(slot))->len}; }

char* RequestSlots::Slot(int slot) const { return slots_ + static_cast<size_t>(slot) * kMaxRequest; }

}  // namespace syncline
