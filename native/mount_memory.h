// Memory that outlives the agents of a mount and ends with it: a file without a name, which the supervisor hands to the next
// agent. It holds the requests in flight (request_slots.h), then the files that programs have open (src/fuse/open-table.ts).
#pragma once

#include <cstddef>

namespace syncline {

constexpr size_t kOpensBytes = 24 << 20;

// A descriptor of new memory; negative with errno if there is none.
int CreateMountMemory();

// Maps the open files. Null if an agent of an older version made the memory, which lacks them.
char* MapOpens(int descriptor);
void UnmapOpens(char* opens);

}  // namespace syncline
