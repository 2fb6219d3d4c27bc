#include "recovered.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <tuple>

#include "kernel.h"

namespace syncline {
namespace {

// Whether it is an append, its inode, and where the kernel sees the end of the file.
using Place = std::tuple<bool, uint64_t, uint64_t>;

Place PlaceOf(std::string_view request) {
  fuse_in_header header;
  fuse_write_in in;
  if (request.size() < sizeof header + sizeof in) return {};
  memcpy(&header, request.data(), sizeof header);
  memcpy(&in, request.data() + sizeof header, sizeof in);
  if (header.opcode != FUSE_WRITE || !(in.flags & O_APPEND)) return {};
  return {true, header.nodeid, in.offset};
}

}  // namespace

void OrderAppends(std::deque<Recovered>* requests, const RequestSlots& slots) {
  const auto place = [&](const Recovered& request) {
    return PlaceOf(request.slot < 0 ? std::string_view(request.bytes) : slots.At(request.slot));
  };
  std::stable_sort(requests->begin(), requests->end(),
                   [&](const Recovered& one, const Recovered& other) { return place(one) < place(other); });
}

}  // namespace syncline
