#include "session.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "kernel.h"
#include "values.h"

namespace syncline {
namespace {

// While closing: how long one look for requests takes, and how many fruitless ones end it.
constexpr int kDrainPollMs = 10;
constexpr int kDrainPolls = 500;

// How long requests that follow one another are served before the event loop goes on.
constexpr uint64_t kTurnNs = 1'000'000;

// True once the kernel has ended the connection. Until then it also reports ECONNABORTED for a request that an unmount
// overtook while it was being read (fuse_dev_do_read in fs/fuse/dev.c); from then on, for an abort alone.
bool HasEnded(int device) {
  pollfd look = {device, POLLIN, 0};
  return poll(&look, 1, 0) == 1 && (look.revents & POLLERR) != 0;
}

size_t Aligned(size_t length) { return (length + 63) & ~size_t{63}; }

bool WantsReply(uint32_t opcode) {
  return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

}  // namespace

Session::Session(napi_env env, int device, int mountMemory, const ReplySettings& settings, uint64_t spinNs)
    : env_(env), device_(device), mountMemory_(mountMemory), settings_(settings), spinner_(spinNs) {}

void Session::OnReadable(uv_poll_t* poll, int, int) {
  auto* session = static_cast<Session*>(poll->data);
  session->EndPause();
  if (!session->recovered_.empty()) return session->ServeRecovered();
  session->ServeTurn(session->spinner_.Expects(uv_hrtime()));
}

void Session::OnPaused(uv_check_t* check) {
  auto* session = static_cast<Session*>(check->data);
  session->EndPause();
  if (session->spinner_.Wait(session->device_)) session->ServeTurn(true);
}

void Session::OnRecovered(uv_check_t* check) {
  auto* session = static_cast<Session*>(check->data);
  session->EndPause();
  session->ServeRecovered();
}

void Session::ServeRecovered() {
  while (!recovered_.empty() && ServeBatch()) {
  }
}

void Session::ServeTurn(bool expectsMore) {
  const uint64_t began = uv_hrtime();
  while (ServeBatch() && expectsMore) {
    if (uv_hrtime() - began >= kTurnNs) {
      // Others have their turn in the event loop, which does not sleep in this round.
      uv_idle_start(&idle_, [](uv_idle_t*) {});
      uv_check_start(&check_, OnPaused);
      return;
    }
    if (!spinner_.Wait(device_)) return;
  }
}

void Session::EndPause() {
  uv_idle_stop(&idle_);
  uv_check_stop(&check_);
}

bool Session::ServeBatch() {
  napi_handle_scope scope;
  napi_open_handle_scope(env_, &scope);
  std::vector<napi_value> arguments(1);
  const bool alive = ReadBatch(&arguments);
  const int error = errno;
  bool hasFailed = false;
  if (rows_ > 0) {
    arguments[0] = Number(env_, rows_);
    hasFailed = !Call(onBatch_, arguments.size(), arguments.data());
    if (hasFailed && isLeft_) LeaveBatch();
    else RefuseRest();
    spinner_.Answered();
  }
  if (!alive && !closed_) End(error);
  napi_close_handle_scope(env_, scope);
  return alive && !closed_ && !hasFailed;
}

bool Session::ReadBatch(std::vector<napi_value>* arguments) {
  rows_ = 0;
  if (keeps_) slots_.BeginBatch();
  size_t used = TakeRecovered(arguments);
  while (recovered_.empty() && rows_ < kRows && used + kMaxRequest <= kInputBytes) {
    if (keeps_) slots_.Expect(used);
    const ssize_t length = ReadRequest(used);
    if (length <= 0 && keeps_) slots_.Drop();
    if (length < 0) return false;
    if (length == 0) return true;
    if (Take(used, static_cast<size_t>(length), -1, arguments)) used += Aligned(static_cast<size_t>(length));
  }
  return true;
}

size_t Session::TakeRecovered(std::vector<napi_value>* arguments) {
  size_t used = 0;
  while (!recovered_.empty() && rows_ < kRows && used + kMaxRequest <= kInputBytes) {
    const Recovered request = std::move(recovered_.front());
    recovered_.pop_front();
    const std::string_view bytes = request.slot < 0 ? request.bytes : slots_.At(request.slot);
    memcpy(input_ + used, bytes.data(), bytes.size());
    if (request.slot >= 0) reinterpret_cast<fuse_in_header*>(input_ + used)->unique |= kResentBit;
    if (Take(used, bytes.size(), request.slot, arguments)) used += Aligned(bytes.size());
  }
  return used;
}

ssize_t Session::ReadRequest(size_t at) {
  for (bool hasEnded = false;;) {
    const ssize_t length = read(device_, input_ + at, kMaxRequest);
    if (length >= static_cast<ssize_t>(sizeof(fuse_in_header))) return length;
    if (length > 0) {
      // Not a request: whatever this is, it is not the kernel's FUSE device.
      errno = EPROTO;
      return -1;
    }
    if (length < 0 && errno == EAGAIN) return 0;
    if (length < 0 && errno == ECONNABORTED && !hasEnded) {
      hasEnded = HasEnded(device_);
      continue;
    }
    // ENOENT: the request was given up while it was being read.
    if (length == 0 || (errno != EINTR && errno != ENOENT)) return -1;
  }
}

bool Session::Take(size_t at, size_t length, int slot, std::vector<napi_value>* arguments) {
  const Request request = ParseRequest(input_ + at, length);
  const uint32_t opcode = request.header->opcode;
  // The kernel knows the request by its first number.
  const uint64_t unique = slot < 0 ? request.header->unique : request.header->unique & ~kResentBit;
  const Deferred taken = {unique, opcode, keeps_ && slot < 0 ? slots_.Last() : -1, slot};
  const auto isOver = [&] {
    if (slot >= 0) slots_.Release(slot);
    else if (keeps_) slots_.Drop();
    return false;
  };
  if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET) {
    TakeForgets(request);
    return isOver();
  }
  double* row = Row(rows_);
  if (opcode == FUSE_INTERRUPT) {
    if (TakeInterrupt(request)) sent_[rows_++] = true;
    return isOver();
  }
  const Decoded decoded = DecodeRequest(request, input_, row);
  if (decoded.outcome == Outcome::kAnswer) {
    SendError(device_, unique, decoded.error);
    return isOver();
  }
  const uint64_t ticket = nextTicket_++;
  row[kTicket] = static_cast<double>(ticket);
  row[kFirstName] = static_cast<double>(arguments->size() - 1);
  for (int i = 0; i < decoded.nameCount; i++) {
    napi_value name;
    napi_create_string_latin1(env_, decoded.names[i].data(), decoded.names[i].size(), &name);
    arguments->push_back(name);
  }
  batch_[rows_] = taken;
  tickets_[rows_] = ticket;
  sent_[rows_] = false;
  rows_++;
  return keeps_ || decoded.outcome == Outcome::kRowWithBytes;
}

// Forgets are of interest for watched inodes only. What they count is not kept: the kernel is asked whether it still knows
// the inode.
void Session::TakeForgets(const Request& request) {
  if (watched_.empty()) return;
  const auto take = [this](uint64_t inode) {
    if (watched_.count(inode)) notifier_->Probe(inode);
  };
  if (request.header->opcode == FUSE_FORGET) {
    take(request.header->nodeid);
    return;
  }
  const size_t length = request.BodyBytes();
  if (length < sizeof(fuse_batch_forget_in)) return;
  const auto* batch = reinterpret_cast<const fuse_batch_forget_in*>(request.body);
  const auto* one = reinterpret_cast<const fuse_forget_one*>(batch + 1);
  const size_t count = std::min<size_t>(batch->count, (length - sizeof *batch) / sizeof *one);
  for (size_t i = 0; i < count; i++) take(one[i].nodeid);
}

// True if the interrupted request is one that JavaScript has or gets now. Others are answered already.
bool Session::TakeInterrupt(const Request& request) {
  if (request.BodyBytes() < sizeof(fuse_interrupt_in)) return false;
  const uint64_t unique = reinterpret_cast<const fuse_interrupt_in*>(request.body)->unique;
  uint64_t ticket = 0;
  for (int i = 0; i < rows_; i++) {
    if (!sent_[i] && batch_[i].unique == unique) ticket = tickets_[i];
  }
  for (auto it = deferred_.begin(); !ticket && it != deferred_.end(); ++it) {
    if (it->second.unique == unique) ticket = it->first;
  }
  if (!ticket) return false;
  double* row = Row(rows_);
  row[kOpcode] = FUSE_INTERRUPT;
  row[kUnique] = 0;
  row[kTicket] = static_cast<double>(ticket);
  return true;
}

bool Session::Call(napi_ref function, size_t count, const napi_value* arguments) {
  napi_value callee, global, result, exception;
  napi_get_reference_value(env_, function, &callee);
  napi_get_global(env_, &global);
  const napi_status status = napi_make_callback(env_, asyncContext_, global, callee, count, arguments, &result);
  if (status == napi_pending_exception) {
    napi_get_and_clear_last_exception(env_, &exception);
    napi_fatal_exception(env_, exception);
  }
  return status == napi_ok;
}

void Session::Flush() {
  for (int i = 0; i < rows_; i++) {
    double* row = Row(i);
    const double kind = row[kKind];
    if (sent_[i] || kind == kNone) continue;
    sent_[i] = true;
    Deferred& request = batch_[i];
    if (kind == kDeferred) {
      if (request.entry >= 0) request.slot = slots_.Keep(request.entry);
      request.entry = -1;
      deferred_.emplace(tickets_[i], request);
    } else {
      SendReply(device_, request.unique, request.opcode, row, output_, settings_);
      Answered(request);
    }
  }
}

void Session::RefuseRest() {
  for (int i = 0; i < rows_; i++) {
    if (sent_[i]) continue;
    SendError(device_, batch_[i].unique, EIO);
    Answered(batch_[i]);
  }
  rows_ = 0;
}

void Session::LeaveBatch() {
  rows_ = 0;
  if (closed_) return;
  EndPause();
  uv_poll_stop(&poll_);
}

bool Session::Answer(uint64_t ticket) {
  const auto found = deferred_.find(ticket);
  if (found == deferred_.end()) return false;
  SendReply(device_, found->second.unique, found->second.opcode, Row(kSoloRow), output_, settings_);
  Answered(found->second);
  deferred_.erase(found);
  return true;
}

void Session::Answered(const Deferred& request) {
  if (request.slot >= 0) slots_.Release(request.slot);
  if (request.entry >= 0) slots_.Clear(request.entry);
}

std::optional<size_t> Session::Pack(size_t count, bool plus, size_t offset, size_t limit) {
  return PackEntries(cells_ + kEntriesAt, count, entryNames_, plus, output_ + offset, limit, settings_);
}

int Session::Resend() {
  const fuse_out_header header = {sizeof header, kNotifyResend, 0};
  if (write(device_, &header, sizeof header) != sizeof header) return errno;
  // They come before all others, in no useful order (fuse_resend in fs/fuse/dev.c).
  std::optional<Recovered> last;
  for (ssize_t length; !last && (length = ReadRequest(0)) > 0;) {
    const auto* request = reinterpret_cast<const fuse_in_header*>(input_);
    const bool isNew = WantsReply(request->opcode) && !(request->unique & kResentBit);
    Recovered read = {std::string(input_, static_cast<size_t>(length)), -1};
    if (isNew) last = std::move(read);
    else recovered_.push_back(std::move(read));
  }
  OrderAppends(&recovered_, slots_);
  if (last) recovered_.push_back(std::move(*last));
  ServeRecoveredSoon();
  return 0;
}

void Session::KeepRequests() {
  keeps_ = true;
  for (const int slot : slots_.Recover()) recovered_.push_back({{}, slot});
  OrderAppends(&recovered_, slots_);
  ServeRecoveredSoon();
}

void Session::ServeRecoveredSoon() {
  if (recovered_.empty()) return;
  uv_idle_start(&idle_, [](uv_idle_t*) {});
  uv_check_start(&check_, OnRecovered);
}

void Session::Watch(uint64_t inode, bool probe) {
  if (closed_) return;
  watched_.insert(inode);
  if (probe) notifier_->Probe(inode);
}

void Session::OnForgotten(uv_poll_t* poll, int, int) {
  auto* session = static_cast<Session*>(poll->data);
  uint64_t times;
  (void)!read(session->forgottenEvent_, &times, sizeof times);
  std::vector<uint64_t> inodes;
  {
    std::lock_guard<std::mutex> lock(session->forgottenMutex_);
    inodes.swap(session->forgotten_);
  }
  if (session->closed_) return;
  const napi_env env = session->env_;
  napi_handle_scope scope;
  napi_open_handle_scope(env, &scope);
  napi_value list;
  uint32_t count = 0;
  napi_create_array(env, &list);
  for (const uint64_t inode : inodes) {
    if (session->watched_.erase(inode)) {
      napi_set_element(env, list, count++, Number(env, static_cast<double>(inode)));
    }
  }
  if (count > 0) session->Call(session->onForgotten_, 1, &list);
  napi_close_handle_scope(env, scope);
}

void Session::End(int error) {
  uv_poll_stop(&poll_);
  const napi_value argument = Number(env_, error);
  Call(onEnd_, 1, &argument);
}

void Session::Close() {
  if (closed_) return;
  closed_ = true;
  RefuseRest();
  for (const auto& [ticket, deferred] : deferred_) SendError(device_, deferred.unique, ENOTCONN);
  deferred_.clear();
  CloseHandles();
  CloseDevice();
}

// The device stays open until this process has ended. Otherwise the next agent would serve while our notifier still runs.
void Session::Leave() {
  if (closed_) return;
  closed_ = true;
  CloseHandles();
  notifier_->Stop();
}

void Session::CloseHandles() {
  uv_poll_stop(&poll_);
  uv_poll_stop(&forgottenPoll_);
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), OnHandleClosed);
  uv_close(reinterpret_cast<uv_handle_t*>(&idle_), OnHandleClosed);
  uv_close(reinterpret_cast<uv_handle_t*>(&check_), OnHandleClosed);
  uv_close(reinterpret_cast<uv_handle_t*>(&forgottenPoll_), OnHandleClosed);
  close(forgottenEvent_);
}

// The notifier may wait for a lock whose holder waits for an answer of ours: all requests are refused until it is done.
// A descriptor that is closed under it would leave both waiting for ever.
void Session::CloseDevice() {
  for (int looks = 0; !notifier_->Stop() && looks < kDrainPolls;) {
    pollfd wait = {device_, POLLIN, 0};
    if (poll(&wait, 1, kDrainPollMs) <= 0 || !(wait.revents & POLLIN)) {
      looks++;
      if (wait.revents & POLLERR) usleep(1000);
      continue;
    }
    if (ReadRequest(0) <= 0) {
      looks++;
      continue;
    }
    const auto* header = reinterpret_cast<const fuse_in_header*>(input_);
    if (WantsReply(header->opcode)) SendError(device_, header->unique, ENOTCONN);
  }
  close(device_);
  device_ = -1;
}

void Session::OnHandleClosed(uv_handle_t* handle) {
  auto* session = static_cast<Session*>(handle->data);
  if (--session->openHandles_ > 0) return;
  const napi_env env = session->env_;
  const napi_async_cleanup_hook_handle hook = session->cleanupHook_;
  napi_async_destroy(env, session->asyncContext_);
  for (napi_ref reference : {session->onBatch_, session->onForgotten_, session->onEnd_}) {
    napi_delete_reference(env, reference);
  }
  // From here on the garbage collector may delete the session.
  napi_delete_reference(env, session->object_);
  napi_remove_async_cleanup_hook(hook);
}

void Session::OnEnvironmentEnds(napi_async_cleanup_hook_handle, void* data) {
  auto* session = static_cast<Session*>(data);
  if (session->isLeft_) return session->Leave();
  session->Close();
}

}  // namespace syncline
