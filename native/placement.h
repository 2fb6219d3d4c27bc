// Keeps the serving thread on the CPU of the program that it serves: a request is a ping-pong between two threads, and costs
// several times as much across CPUs.
#pragma once

#include <sys/types.h>

namespace syncline {

class Placement {
 public:
  // Looks where `client` runs, every few calls, and moves the calling thread there.
  void Follow(pid_t client);

 private:
  int calls_ = 0;
  int cpu_ = -1;
};

}  // namespace syncline
