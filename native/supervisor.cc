// The supervisor of a mount: holds /dev/fuse, and starts a new agent when the one that serves dies. A process of its own,
// started by src/fuse/supervisor.ts.
//
// Programs wait meanwhile. The new agent has the kernel send again what was in flight, and goes on. What cannot be
// restarted (no agent was ever ready, or five starts in a row failed) is aborted, so that programs get an error.
//
// An abort also frees a killed agent that cannot end: a thread that was telling the kernel what changed may sleep there on the
// lock of a directory, uninterruptibly, and the program that holds that lock waits for the agent's answer.
//
// Its standard input ends with the agent, which writes lines to it: "ready MINOR FLAGS2 FLAGS" once it serves and can be replaced, and "done"
// at its orderly end. Descriptor 3 is the connection's abort file (mounting.cc), 4 the device, 5 memory for requests (request_slots.h).
// Its arguments are the log, the working directory and the command of an agent.
#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>

namespace {

constexpr int kAbort = 3, kDevice = 4, kSlots = 5;
// Of the agent that it starts.
constexpr int kAgentDevice = 3, kAgentLifeline = 4, kAgentSlots = 5;
// In the second number of what was agreed: the kernel sends requests again (FUSE_HAS_RESEND).
constexpr unsigned long kHasResend = 1ul << 7;
constexpr int kMostFailures = 5;
constexpr useconds_t kPauseUs = 200'000;
// nice(2) of an agent while programs wait for it to start; no thread of a serving agent has it.
constexpr int kHurry = -9;
constexpr size_t kMostLine = 256;
// Who stops a service signals all of its processes, and the agent has yet to publish what is pending. An ignored SIGCHLD
// leaves no zombies.
constexpr int kIgnored[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGCHLD};

struct Heard {
  // What followed "ready"; empty if the agent never was.
  std::string ready;
  bool isDone = false;
};

// Sets the niceness of a session, which Linux may weigh before that of its threads (sched_autogroup); best effort, as all here.
void WeighSession(const std::string& process, int niceness) {
  const int file = open(("/proc/" + process + "/autogroup").c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  const std::string text = std::to_string(niceness);
  (void)!write(file, text.data(), text.size());
  close(file);
}

// The agent serves: its threads that still hurry are as before.
void EndHurry(pid_t agent) {
  const std::string process = std::to_string(agent);
  WeighSession(process, 0);
  DIR* const threads = opendir(("/proc/" + process + "/task").c_str());
  if (threads == nullptr) return;
  const int usual = getpriority(PRIO_PROCESS, 0);
  while (const dirent* const each = readdir(threads)) {
    const auto thread = static_cast<id_t>(std::strtoul(each->d_name, nullptr, 10));
    if (thread != 0 && getpriority(PRIO_PROCESS, thread) == kHurry) setpriority(PRIO_PROCESS, thread, usual);
  }
  closedir(threads);
}

// Until the agent has ended. `started`: the one that was started here; 0: the first.
Heard Listen(int lifeline, pid_t started) {
  Heard heard;
  std::string line;
  char bytes[64];
  for (;;) {
    const ssize_t count = read(lifeline, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return heard;
    for (ssize_t i = 0; i < count; i++) {
      if (bytes[i] != '\n') {
        if (line.size() < kMostLine) line.push_back(bytes[i]);
        continue;
      }
      if (line == "done") heard.isDone = true;
      if (line.rfind("ready ", 0) == 0) {
        heard.ready = line.substr(6);
        if (started != 0) EndHurry(started);
      }
      line.clear();
    }
  }
}

bool NeedsSlots(const std::string& agreed) {
  const size_t second = agreed.find(' ');
  return second != std::string::npos && (std::strtoul(agreed.c_str() + second, nullptr, 10) & kHasResend) == 0;
}

// In the child: becomes the agent. It has a session of its own, so that a signal to one of the two does not reach the other.
[[noreturn]] void BecomeAgent(char** arguments, int lifeline, const std::string& agreed) {
  for (const int ignored : kIgnored) std::signal(ignored, SIG_DFL);
  setsid();
  if (setpriority(PRIO_PROCESS, 0, kHurry) == 0) WeighSession("self", kHurry);
  const int device = fcntl(kDevice, F_DUPFD, 16), own = fcntl(lifeline, F_DUPFD, 16);
  const int log = open(arguments[0], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log >= 0) {
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
  }
  const int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, STDIN_FILENO);
  if (nothing > STDERR_FILENO) close(nothing);
  const int slots = NeedsSlots(agreed) ? fcntl(kSlots, F_DUPFD, 16) : -1;
  dup2(device, kAgentDevice);
  dup2(own, kAgentLifeline);
  if (slots >= 0) dup2(slots, kAgentSlots);
  for (const int copied : {device, own, slots}) close(copied);
  // The folder may be gone: absolute paths still lead somewhere.
  if (chdir(arguments[1]) != 0) (void)!chdir("/");
  setenv("SYNCLINE_HANDOFF", agreed.c_str(), 1);
  execv(arguments[2], arguments + 2);
  _exit(127);
}

// The end of the new agent's lifeline; negative if it could not be started.
int StartAgent(char** arguments, const std::string& agreed, pid_t& started) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  started = fork();
  if (started == 0) BecomeAgent(arguments, ends[1], agreed);
  close(ends[1]);
  if (started > 0) return ends[0];
  close(ends[0]);
  return -1;
}

int Abort() { return write(kAbort, "1", 1) == 1 ? 0 : 1; }

}  // namespace

int main(int count, char** arguments) {
  if (chdir("/") != 0) return 1;
  prctl(PR_SET_NAME, "syncline-superv");
  for (const int ignored : kIgnored) std::signal(ignored, SIG_IGN);
  for (const int kept : {kAbort, kDevice, kSlots}) fcntl(kept, F_SETFD, FD_CLOEXEC);
  const bool mayRestart = count >= 4;
  std::string agreed;
  int lifeline = STDIN_FILENO;
  pid_t started = 0;
  for (int failures = 0;;) {
    const Heard heard = Listen(lifeline, started);
    if (heard.isDone) return 0;
    if (!heard.ready.empty()) agreed = heard.ready;
    failures = heard.ready.empty() ? failures + 1 : 0;
    if (!mayRestart || agreed.empty() || failures == kMostFailures) return Abort();
    if (failures > 0) usleep(failures * kPauseUs);
    close(lifeline);
    lifeline = StartAgent(arguments + 1, agreed, started);
    if (lifeline < 0) return Abort();
  }
}
