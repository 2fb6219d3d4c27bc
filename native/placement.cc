#include "placement.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace syncline {
namespace {

constexpr int kCallsBetweenLooks = 16;
// proc(5): field 39 of /proc/PID/stat is the CPU last run on; the fields after the name in parentheses start with the third.
constexpr int kProcessorField = 39;
constexpr int kFirstFieldAfterName = 3;

// -1 when the process is gone or not visible from here.
int ProcessorOf(pid_t pid) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  char text[1024];
  const ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  if (length <= 0) return -1;
  text[length] = 0;
  const char* at = strrchr(text, ')');
  for (int field = kFirstFieldAfterName - 1; at && field < kProcessorField; field++) at = strchr(at + 1, ' ');
  return at ? atoi(at + 1) : -1;
}

}  // namespace

void Placement::Follow(pid_t client) {
  if (calls_++ % kCallsBetweenLooks != 0 || client <= 0) return;
  const int cpu = ProcessorOf(client);
  if (cpu < 0 || cpu == cpu_ || cpu >= CPU_SETSIZE) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) == 0) cpu_ = cpu;
}

}  // namespace syncline
