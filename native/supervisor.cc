// The supervisor of a mount holds /dev/fuse, and starts a new agent when the serving one dies. It is a process of its own. An
// agent starts it (src/fuse/supervisor.ts), or, with --service, systemd does, as the main process of a service
// (systemd-unit.ts).
//
// Programs wait meanwhile. The new agent makes the kernel send again what was in flight, and continues. The supervisor aborts the
// connection, so that programs get an error, if no agent was ever ready, if five starts in a row failed, or if many agents in a row
// died soon after they served, as on a request that kills each of them.
//
// An agent that is stopped (SIGSTOP, Ctrl-Z) while programs wait for it is killed, so that the next one serves them. Nobody else can
// answer them, and without an answer Linux neither freezes nor kills them.
//
// An abort also frees a killed agent that cannot end: a thread that was telling the kernel what changed may sleep there
// uninterruptibly on the lock of a directory, while the program that holds that lock waits for the agent's answer.
//
// The lifeline is a connection that closes when the agent ends. The agent writes lines to it: "place TEXT", which later agents find
// in their environment; "ready MINOR FLAGS2 FLAGS" once it serves and can be replaced, "up" once its start is over, and "done" at its
// orderly end.
//
// Started by an agent: standard input is the lifeline, descriptor 3 the connection's abort file (mounting.cc), 4 the device, 5
// the mount's memory (mount_memory.h). The arguments are the log, the working directory and the command of an agent. "." is the
// directory that the supervisor is started in: the mount covers it, so a path would lead into the mount, and wait for an agent.
//
// As a service: the arguments are --service and the command of an agent. The supervisor also starts the first agent, which sends
// the three descriptors through the lifeline once it has mounted. The supervisor tells systemd what happens (sd_notify(3)), passes
// ending signals on to the agent, and ends with the agent's status.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <initializer_list>
#include <string>

namespace {

// Descriptors of an agent that it starts.
constexpr int kAgentDevice = 3, kAgentLifeline = 4, kAgentMemory = 5;
constexpr int kMostFailures = 5;
constexpr useconds_t kPauseUs = 200'000;
// An agent that dies within kBriefMs of serving is brief. After kFewBrief such agents in a row, the supervisor waits before it starts
// the next one. After kMostBrief, it aborts the mount.
constexpr long kBriefMs = 500;
constexpr int kMostBrief = 30, kFewBrief = 5;
// The supervisor looks every kLookMs whether the agent is stopped, and every kStoppedLookMs once it is. After kMostStopped such looks
// without a moment of CPU time in between, it replaces the agent if programs wait. cpulimit(1) stops programs for less time than that.
constexpr int kLookMs = 1'000, kStoppedLookMs = 250, kMostStopped = 4;
// The niceness of an agent while programs wait for it to start. No thread of a serving agent has it.
constexpr int kHurry = -20;
// Less than what execve(2) takes as one variable.
constexpr size_t kMostLine = 100'000;
constexpr int kEnding[] = {SIGHUP, SIGINT, SIGTERM};
// A signal to all processes that belong to an agent, such as its cgroup, also reaches its supervisor, which must stay while the
// agent publishes. Ignoring SIGCHLD leaves no zombies.
constexpr int kIgnored[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGCHLD};

// What the agent said.
struct Heard {
  // What followed "ready"; empty if the agent never was.
  std::string ready;
  // When it said so, on the monotonic clock.
  long readyMs = 0;
  bool isDone = false;
};

long NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

// Sets the niceness of a session, which may count before that of its threads (sched_autogroup). Best effort, like all here.
void WeighSession(const std::string& process, int niceness) {
  const int file = open(("/proc/" + process + "/autogroup").c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  const std::string text = std::to_string(niceness);
  (void)!write(file, text.data(), text.size());
  close(file);
}

// The agent serves: its threads that still have priority lose it.
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

// What proc(5) says of a process.
struct State {
  bool isStopped = false;
  pid_t parent = 0;
  // In ticks.
  unsigned long cpuTime = 0;
};

// The first bytes of a file in /proc or /sys; empty if it cannot be read.
std::string ReadShort(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return "";
  char bytes[1024];
  const ssize_t count = read(file, bytes, sizeof bytes);
  close(file);
  return std::string(bytes, count > 0 ? static_cast<size_t>(count) : 0);
}

State StateOf(pid_t process) {
  const std::string text = ReadShort("/proc/" + std::to_string(process) + "/stat");
  // The name before the other fields may have spaces and parentheses.
  const size_t name = text.rfind(')');
  char letter = 0;
  int parent = 0;
  unsigned long user = 0, system = 0;
  constexpr char kFields[] = ") %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu";
  if (name == std::string::npos || std::sscanf(text.c_str() + name, kFields, &letter, &parent, &user, &system) != 4) return {};
  return {letter == 'T', parent, user + system};
}

class Supervisor {
 public:
  // Started by an agent. `command` ends with a null. It is empty if no agent can be started again.
  Supervisor(const char* log, std::string directory, int here, char** command)
      : log_(log), directory_(std::move(directory)), here_(here), command_(command), abort_(3), device_(4), memory_(5), agent_(getppid()) {
    if (directory_ != ".") {
      close(here_);
      here_ = -1;
    }
    for (const int ignored : kIgnored) std::signal(ignored, SIG_IGN);
    for (const int kept : {abort_, device_, memory_}) fcntl(kept, F_SETFD, FD_CLOEXEC);
  }

  // A service: agents write to the output of this process.
  Supervisor(std::string directory, int here, char** command)
      : directory_(std::move(directory)), here_(here), command_(command) {
    std::signal(SIGPIPE, SIG_IGN);
    sigset_t ending;
    sigemptyset(&ending);
    for (const int each : kEnding) sigaddset(&ending, each);
    sigprocmask(SIG_BLOCK, &ending, nullptr);
    signals_ = signalfd(-1, &ending, SFD_CLOEXEC);
    const char* socket = getenv("NOTIFY_SOCKET");
    if (socket != nullptr) notify_ = socket;
    unsetenv("NOTIFY_SOCKET");
  }

  int Supervise() {
    lifeline_ = STDIN_FILENO;
    return GoOn();
  }

  int Serve() {
    if (!StartAgent("first")) return 1;
    GoOn();
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(agent_, &status, 0)) < 0 && errno == EINTR) {
    }
    // There is no agent left.
    if (ended < 0) return 1;
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    return stopping_ != 0 && WTERMSIG(status) == stopping_ ? 0 : 1;
  }

 private:
  // Starts agents until none should follow.
  int GoOn() {
    std::string agreed;
    for (int failures = 0, brief = 0;;) {
      const Heard heard = lifeline_ < 0 ? Heard() : Listen();
      if (heard.isDone) return 0;
      if (!heard.ready.empty()) agreed = heard.ready;
      failures = heard.ready.empty() ? failures + 1 : 0;
      brief = heard.ready.empty() || NowMs() - heard.readyMs < kBriefMs ? brief + 1 : 0;
      if (*command_ == nullptr || agreed.empty() || failures == kMostFailures || brief == kMostBrief) return Abort();
      Notify("STATUS=The agent ended unexpectedly. Starting the next one.");
      if (failures > 0) usleep(failures * kPauseUs);
      else if (brief > kFewBrief) usleep(kPauseUs);
      close(lifeline_);
      // Memory or processes may be short now. That counts as a failed start.
      if (!StartAgent(agreed)) lifeline_ = -1;
    }
  }

  // Listens until the agent has ended.
  Heard Listen() {
    Heard heard;
    std::string line;
    stoppedLooks_ = 0;
    for (;;) {
      pollfd waits[] = {{lifeline_, POLLIN, 0}, {signals_, POLLIN, 0}};
      const int ready = poll(waits, 2, stoppedLooks_ > 0 ? kStoppedLookMs : kLookMs);
      const bool takesOver = isChild_ && !listens_;
      if (ready == 0 && !heard.isDone && (takesOver || !heard.ready.empty())) EndIfStopped();
      if (ready <= 0) continue;
      if (waits[1].revents != 0) PassSignal();
      if (waits[0].revents == 0) continue;
      char bytes[64];
      const ssize_t count = Receive(bytes, sizeof bytes);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return heard;
      for (ssize_t i = 0; i < count; i++) {
        if (bytes[i] != '\n') {
          if (line.size() < kMostLine) line.push_back(bytes[i]);
          continue;
        }
        Hear(line, heard);
        line.clear();
      }
    }
  }

  // Replacing it needs a command, so an agent without one stays stopped.
  void EndIfStopped() {
    const State state = StateOf(agent_);
    const bool isOurs = isChild_ ? state.parent == getpid() : getppid() == agent_;
    const bool isStill = stoppedLooks_ == 0 || state.cpuTime == lastCpuTime_;
    stoppedLooks_ = isOurs && state.isStopped && isStill ? stoppedLooks_ + 1 : 0;
    lastCpuTime_ = state.cpuTime;
    if (stoppedLooks_ < kMostStopped || *command_ == nullptr || !DoProgramsWait()) return;
    Notify("STATUS=The agent is stopped, and programs wait for it. Starting the next one.");
    kill(agent_, SIGKILL);
  }

  // True if unknown.
  bool DoProgramsWait() const {
    char path[PATH_MAX];
    const ssize_t length = readlink(("/proc/self/fd/" + std::to_string(abort_)).c_str(), path, sizeof path);
    if (length <= 0) return true;
    const std::string abort(path, static_cast<size_t>(length));
    // In the directory of the connection (Documentation/filesystems/fuse.rst).
    return ReadShort(abort.substr(0, abort.rfind('/') + 1) + "waiting") != "0\n";
  }

  void Hear(const std::string& line, Heard& heard) {
    if (line == "done") {
      heard.isDone = true;
      LetGo();
    }
    if (line.rfind("place ", 0) == 0) place_ = line.substr(6);
    if (line.rfind("ready ", 0) == 0) {
      heard.ready = line.substr(6);
      heard.readyMs = NowMs();
      if (isChild_) EndHurry(agent_);
    }
    if (line != "up") return;
    Notify("READY=1\nSTATUS=Mounted.");
    SetListening();
  }

  // The mount has ended, but the agent may publish for long. As long as any process holds the device, programs in the detached mount
  // wait instead of getting an error.
  void LetGo() {
    for (int* const held : {&abort_, &device_, &memory_}) {
      if (*held >= 0) close(*held);
      *held = -1;
    }
  }

  // Reads bytes from the lifeline, and descriptors that come with them: the abort file, the device, and the memory for requests.
  ssize_t Receive(char* bytes, size_t most) {
    iovec data = {bytes, most};
    alignas(cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))];
    msghdr message = {};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t count = recvmsg(lifeline_, &message, MSG_CMSG_CLOEXEC);
    const cmsghdr* head = count > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
    if (head != nullptr && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(3 * sizeof(int))) {
      int sent[3];
      std::memcpy(sent, CMSG_DATA(head), sizeof sent);
      abort_ = sent[0];
      device_ = sent[1];
      memory_ = sent[2];
    }
    return count;
  }

  void PassSignal() {
    signalfd_siginfo signal;
    if (read(signals_, &signal, sizeof signal) != sizeof signal) return;
    Notify("STOPPING=1\nSTATUS=Publishing what is pending.");
    stopping_ = static_cast<int>(signal.ssi_signo);
    if (listens_) kill(agent_, stopping_);
  }

  // An agent that takes over is signalled only now. Before, it might have ended without serving, and left the mount.
  void SetListening() {
    if (!listens_ && stopping_ != 0) kill(agent_, stopping_);
    listens_ = true;
  }

  // `told`: what the agents agreed on with the kernel, or that it is the first.
  bool StartAgent(const std::string& told) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
    // Reaps agents that were killed.
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    listens_ = device_ < 0;
    const pid_t child = fork();
    if (child == 0) BecomeAgent(ends[1], told);
    close(ends[1]);
    if (child < 0) {
      close(ends[0]);
      return false;
    }
    lifeline_ = ends[0];
    agent_ = child;
    isChild_ = true;
    return true;
  }

  // Runs in the child. It starts a session of its own, so that a signal to one of the two does not reach the other.
  [[noreturn]] void BecomeAgent(int lifeline, const std::string& told) {
    for (const int ignored : kIgnored) std::signal(ignored, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    setsid();
    // The folder may be gone. Absolute paths still work then. This comes first, since a copy below may take the number of `here_`.
    if ((here_ >= 0 ? fchdir(here_) : chdir(directory_.c_str())) != 0) (void)!chdir("/");
    // Programs are waiting for it, unless it is a service's first agent.
    if (device_ >= 0 && setpriority(PRIO_PROCESS, 0, kHurry) == 0) WeighSession("self", kHurry);
    const int device = fcntl(device_, F_DUPFD, 16), own = fcntl(lifeline, F_DUPFD, 16);
    const int log = open(log_, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log >= 0) {
      dup2(log, STDOUT_FILENO);
      dup2(log, STDERR_FILENO);
    }
    const int nothing = open("/dev/null", O_RDONLY);
    dup2(nothing, STDIN_FILENO);
    if (nothing > STDERR_FILENO) close(nothing);
    const int memory = fcntl(memory_, F_DUPFD, 16);
    dup2(device, kAgentDevice);
    dup2(own, kAgentLifeline);
    if (memory >= 0) dup2(memory, kAgentMemory);
    for (const int copied : {device, own, memory}) close(copied);
    setenv("SYNCLINE_HANDOFF", told.c_str(), 1);
    setenv("SYNCLINE_PLACE", place_.c_str(), 1);
    execv(command_[0], command_);
    _exit(127);
  }

  int Abort() { return write(abort_, "1", 1) == 1 ? 0 : 1; }

  // sd_notify(3).
  void Notify(const char* state) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (notify_.empty() || notify_.size() >= sizeof address.sun_path) return;
    std::memcpy(address.sun_path, notify_.data(), notify_.size());
    // An abstract socket's name begins with a zero byte.
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + notify_.size());
    sendto(socket, state, std::strlen(state), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), length);
    close(socket);
  }

  const char* log_ = "";
  // What an agent said of the mount's place.
  std::string place_;
  std::string directory_;
  // The same directory, open. Negative: the path is enough, and an open descriptor would keep the directory in use.
  int here_ = -1;
  char** command_;
  int abort_ = -1, device_ = -1, memory_ = -1, lifeline_ = -1;
  pid_t agent_ = -1;
  // Whether this process started the agent. Otherwise the agent started this process.
  bool isChild_ = false;
  // At how many looks in a row the agent was stopped, and its CPU time then.
  int stoppedLooks_ = 0;
  unsigned long lastCpuTime_ = 0;
  // Used as a service only.
  int signals_ = -1;
  std::string notify_;
  // Whether the agent ends in order when it is signalled.
  bool listens_ = false;
  // The signal that ends the service.
  int stopping_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  char path[PATH_MAX];
  const std::string directory = getcwd(path, sizeof path) != nullptr ? path : "/";
  const int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (chdir("/") != 0) return 1;
  prctl(PR_SET_NAME, "syncline-superv");
  if (count >= 3 && std::strcmp(arguments[1], "--service") == 0) return Supervisor(directory, here, arguments + 2).Serve();
  if (count >= 4) return Supervisor(arguments[1], arguments[2], here, arguments + 3).Supervise();
  return Supervisor("", "/", here, arguments + count).Supervise();
}
