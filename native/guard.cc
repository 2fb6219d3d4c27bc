// The guard of a mount: aborts its connection when the agent was killed. A process of its own, started by src/fuse/guard.ts.
//
// A killed process lets go of /dev/fuse when its last thread has ended. One that was telling the kernel what changed may sleep
// there on the lock of a directory, uninterruptibly, and the program that holds that lock waits for the agent's answer: neither
// would ever end, nor would any other call on the mount. An abort frees both.
//
// Its standard input ends with the agent; descriptor 3 is the connection's abort file (mounting.cc).
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <initializer_list>

constexpr int kAbort = 3;

int main() {
  if (chdir("/") != 0) return 1;
  prctl(PR_SET_NAME, "syncline-guard");
  // Who stops a service signals all of its processes, and the agent has yet to publish what is pending.
  for (const int ignored : {SIGHUP, SIGINT, SIGTERM}) std::signal(ignored, SIG_IGN);
  char nothing[64];
  for (;;) {
    const ssize_t bytes = read(STDIN_FILENO, nothing, sizeof nothing);
    if (bytes == 0 || (bytes < 0 && errno != EINTR)) break;
  }
  // After an orderly end the connection is gone, and this does nothing.
  return write(kAbort, "1", 1) == 1 ? 0 : 1;
}
