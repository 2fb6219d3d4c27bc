#include "session.h"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "kernel.h"
#include "values.h"

namespace syncline {
namespace {

// While closing: how long one look for requests takes, and how many fruitless ones end it.
constexpr int kDrainPollMs = 10;
constexpr int kDrainPolls = 500;

// Memory that is there from the start: a page fault while the kernel copies a request would lose the request to a kill.
char* ResidentMemory(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  (void)mlock(memory, bytes);  // best effort: RLIMIT_MEMLOCK may forbid it
  return static_cast<char*>(memory);
}

template <size_t kBytes>
void FreeMemory(napi_env, void* memory, void*) {
  munmap(memory, kBytes);
}

template <size_t kBytes>
char* DefineBuffer(napi_env env, napi_value object, const char* name) {
  char* memory = ResidentMemory(kBytes);
  napi_value buffer;
  if (!memory) return nullptr;
  if (napi_create_external_buffer(env, kBytes, memory, FreeMemory<kBytes>, nullptr, &buffer) != napi_ok) {
    munmap(memory, kBytes);
    return nullptr;
  }
  napi_set_named_property(env, object, name, buffer);
  return memory;
}

bool WantsReply(uint32_t opcode) {
  return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

Session* This(napi_env env, napi_callback_info info) {
  napi_value self;
  void* session = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, &self, nullptr);
  napi_unwrap(env, self, &session);
  return static_cast<Session*>(session);
}

napi_value FlushMethod(napi_env env, napi_callback_info info) {
  if (Session* session = This(env, info)) session->Flush(false);
  return nullptr;
}

napi_value AnswerMethod(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  napi_value result;
  Session* session = This(env, info);
  napi_get_boolean(env, session && session->Answer(arguments.Number(0)), &result);
  return result;
}

napi_value PackMethod(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Session* session = This(env, info);
  if (!session) return nullptr;
  return Number(env, static_cast<double>(session->Pack(
                         static_cast<size_t>(arguments.Number(0)), arguments.Number(1) != 0,
                         static_cast<size_t>(arguments.Number(2)), static_cast<size_t>(arguments.Number(3)))));
}

napi_value WatchMethod(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  if (Session* session = This(env, info)) {
    session->Watch(static_cast<uint64_t>(arguments.Number(0)), arguments.Number(1) != 0);
  }
  return nullptr;
}

napi_value InvalidateInodeMethod(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  if (Session* session = This(env, info)) {
    session->notifier().InvalidateInode(static_cast<uint64_t>(arguments.Number(0)), 0, 0);
  }
  return nullptr;
}

napi_value InvalidateEntryMethod(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Session* session = This(env, info);
  if (!session) return nullptr;
  const auto parent = static_cast<uint64_t>(arguments.Number(0));
  const auto removed = static_cast<uint64_t>(arguments.Number(2));
  if (removed != 0) {
    session->notifier().DeleteEntry(parent, removed, arguments.Bytes(1));
  } else {
    session->notifier().InvalidateEntry(parent, arguments.Bytes(1));
  }
  return nullptr;
}

napi_value IncrementEpochMethod(napi_env env, napi_callback_info info) {
  if (Session* session = This(env, info)) session->notifier().IncrementEpoch();
  return nullptr;
}

napi_value CloseMethod(napi_env env, napi_callback_info info) {
  if (Session* session = This(env, info)) session->Close();
  return nullptr;
}

uint64_t TimeoutProperty(napi_env env, napi_value settings, const char* name) {
  return static_cast<uint64_t>(NumberProperty(env, settings, name) * 1e9);
}

}  // namespace

napi_value Serve(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  const napi_value given = arguments[1];
  const ReplySettings settings = {
      TimeoutProperty(env, given, "attributeTimeoutS"),
      TimeoutProperty(env, given, "entryTimeoutS"),
      TimeoutProperty(env, given, "negativeTimeoutS"),
      static_cast<uint32_t>(NumberProperty(env, given, "blockSize")),
  };
  auto* session = new Session(env, static_cast<int>(arguments.Number(0)), settings,
                              NumberProperty(env, given, "followClient") != 0);
  return session->Start(arguments[2]);
}

Session::Session(napi_env env, int device, const ReplySettings& settings, bool followClient)
    : env_(env), device_(device), settings_(settings), followClient_(followClient) {}

napi_value Session::Start(napi_value handlers) {
  napi_value object, cells, view, names, name;
  napi_create_object(env_, &object);
  napi_wrap(env_, object, this, [](napi_env, void* session, void*) { delete static_cast<Session*>(session); }, nullptr,
            nullptr);

  void* memory = nullptr;
  napi_create_arraybuffer(env_, kCells * sizeof(double), &memory, &cells);
  cells_ = static_cast<double*>(memory);
  napi_create_typedarray(env_, napi_float64_array, kCells, cells, 0, &view);
  napi_set_named_property(env_, object, "cells", view);
  napi_create_typedarray(env_, napi_bigint64_array, kCells, cells, 0, &view);
  napi_set_named_property(env_, object, "times", view);
  napi_create_buffer(env_, kEntryNamesBytes, &memory, &names);
  entryNames_ = static_cast<char*>(memory);
  napi_set_named_property(env_, object, "entryNames", names);
  input_ = DefineBuffer<kInputBytes>(env_, object, "input");
  output_ = DefineBuffer<kOutputBytes>(env_, object, "output");
  if (!input_ || !output_) return ThrowErrno(env_, "request buffers", ENOMEM);

  Define(env_, object, "flush", FlushMethod, nullptr);
  Define(env_, object, "answer", AnswerMethod, nullptr);
  Define(env_, object, "packEntries", PackMethod, nullptr);
  Define(env_, object, "watch", WatchMethod, nullptr);
  Define(env_, object, "invalidateInode", InvalidateInodeMethod, nullptr);
  Define(env_, object, "invalidateEntry", InvalidateEntryMethod, nullptr);
  Define(env_, object, "incrementEpoch", IncrementEpochMethod, nullptr);
  Define(env_, object, "close", CloseMethod, nullptr);

  napi_create_reference(env_, object, 1, &object_);
  const auto keep = [&](const char* property, napi_ref* reference) {
    napi_value function;
    napi_get_named_property(env_, handlers, property, &function);
    napi_create_reference(env_, function, 1, reference);
  };
  keep("onBatch", &onBatch_);
  keep("onForgotten", &onForgotten_);
  keep("onEnd", &onEnd_);
  napi_create_string_utf8(env_, "syncline:fuse", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env_, nullptr, name, &asyncContext_);

  uv_loop_t* loop;
  napi_get_uv_event_loop(env_, &loop);
  uv_async_init(loop, &async_, OnForgotten);
  async_.data = this;
  uv_unref(reinterpret_cast<uv_handle_t*>(&async_));
  uv_poll_init(loop, &poll_, device_);
  poll_.data = this;
  openHandles_ = 2;
  notifier_ = std::make_unique<Notifier>(device_, [this](uint64_t inode) {
    std::lock_guard<std::mutex> lock(forgottenMutex_);
    forgotten_.push_back(inode);
    uv_async_send(&async_);
  });
  napi_add_async_cleanup_hook(env_, OnEnvironmentEnds, this, &cleanupHook_);
  uv_poll_start(&poll_, UV_READABLE, OnReadable);
  return object;
}

void Session::OnReadable(uv_poll_t* poll, int, int) {
  auto* session = static_cast<Session*>(poll->data);
  napi_handle_scope scope;
  napi_open_handle_scope(session->env_, &scope);
  std::vector<napi_value> arguments(1);
  const bool alive = session->ReadBatch(&arguments);
  const int error = errno;
  if (session->rows_ > 0) {
    arguments[0] = Number(session->env_, session->rows_);
    session->Call(session->onBatch_, arguments.size(), arguments.data());
    session->Flush(true);
  }
  if (!alive && !session->closed_) session->End(error);
  napi_close_handle_scope(session->env_, scope);
}

bool Session::ReadBatch(std::vector<napi_value>* arguments) {
  rows_ = 0;
  size_t used = 0;
  while (rows_ < kRows && used + kMaxRequest <= kInputBytes) {
    const ssize_t length = ReadRequest(used);
    if (length < 0) return false;
    if (length == 0) return true;
    if (Take(used, static_cast<size_t>(length), arguments)) used += (static_cast<size_t>(length) + 63) & ~size_t{63};
  }
  return true;
}

ssize_t Session::ReadRequest(size_t at) {
  for (;;) {
    const ssize_t length = read(device_, input_ + at, kMaxRequest);
    if (length > 0) return length;
    if (length < 0 && errno == EAGAIN) return 0;
    // ENOENT: the request was given up while it was being read.
    if (length == 0 || (errno != EINTR && errno != ENOENT)) return -1;
  }
}

bool Session::Take(size_t at, size_t length, std::vector<napi_value>* arguments) {
  const Request request = ParseRequest(input_ + at, length);
  const uint32_t opcode = request.header->opcode;
  if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET) {
    TakeForgets(request);
    return false;
  }
  double* row = Row(rows_);
  if (opcode == FUSE_INTERRUPT) {
    if (TakeInterrupt(request)) sent_[rows_++] = true;
    return false;
  }
  if (followClient_) placement_.Follow(static_cast<pid_t>(request.header->pid));
  const Decoded decoded = DecodeRequest(request, input_, row);
  if (decoded.outcome == Outcome::kAnswer) {
    SendError(device_, request.header->unique, decoded.error);
    return false;
  }
  const uint64_t ticket = nextTicket_++;
  row[kTicket] = static_cast<double>(ticket);
  row[kFirstName] = static_cast<double>(arguments->size() - 1);
  for (int i = 0; i < decoded.nameCount; i++) {
    napi_value name;
    napi_create_string_latin1(env_, decoded.names[i].data(), decoded.names[i].size(), &name);
    arguments->push_back(name);
  }
  batch_[rows_] = {request.header->unique, opcode};
  tickets_[rows_] = ticket;
  sent_[rows_] = false;
  rows_++;
  return decoded.outcome == Outcome::kRowWithBytes;
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
  const auto* batch = reinterpret_cast<const fuse_batch_forget_in*>(request.body);
  const auto* one = reinterpret_cast<const fuse_forget_one*>(batch + 1);
  for (uint32_t i = 0; i < batch->count; i++) take(one[i].nodeid);
}

// True if the interrupted request is one that JavaScript has or gets now. Others are answered already.
bool Session::TakeInterrupt(const Request& request) {
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
  row[kTicket] = static_cast<double>(ticket);
  return true;
}

void Session::Call(napi_ref function, size_t count, const napi_value* arguments) {
  napi_value callee, global, result, exception;
  napi_get_reference_value(env_, function, &callee);
  napi_get_global(env_, &global);
  if (napi_make_callback(env_, asyncContext_, global, callee, count, arguments, &result) != napi_pending_exception) return;
  napi_get_and_clear_last_exception(env_, &exception);
  napi_fatal_exception(env_, exception);
}

void Session::Flush(bool endOfBatch) {
  for (int i = 0; i < rows_; i++) {
    double* row = Row(i);
    const int kind = static_cast<int>(row[kKind]);
    if (sent_[i] || (kind == kNone && !endOfBatch)) continue;
    sent_[i] = true;
    if (kind == kDeferred && !closed_) {
      deferred_.emplace(tickets_[i], batch_[i]);
    } else {
      SendReply(device_, batch_[i].unique, batch_[i].opcode, row, output_, settings_);
    }
  }
  if (endOfBatch) rows_ = 0;
}

bool Session::Answer(double ticket) {
  const auto found = deferred_.find(static_cast<uint64_t>(ticket));
  if (found == deferred_.end()) return false;
  SendReply(device_, found->second.unique, found->second.opcode, Row(kSoloRow), output_, settings_);
  deferred_.erase(found);
  return true;
}

size_t Session::Pack(size_t count, bool plus, size_t offset, size_t limit) {
  if (count > kMaxEntries || offset > kOutputBytes || limit > kOutputBytes - offset) return 0;
  return PackEntries(cells_ + kEntriesAt, count, entryNames_, plus, output_ + offset, limit, settings_);
}

void Session::Watch(uint64_t inode, bool probe) {
  if (closed_) return;
  watched_.insert(inode);
  if (probe) notifier_->Probe(inode);
}

void Session::OnForgotten(uv_async_t* async) {
  auto* session = static_cast<Session*>(async->data);
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
  uv_poll_stop(&poll_);
  Flush(true);
  for (const auto& [ticket, deferred] : deferred_) SendError(device_, deferred.unique, ENOTCONN);
  deferred_.clear();
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), OnHandleClosed);
  CloseDevice();
  uv_close(reinterpret_cast<uv_handle_t*>(&async_), OnHandleClosed);
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

void Session::OnEnvironmentEnds(napi_async_cleanup_hook_handle, void* data) { static_cast<Session*>(data)->Close(); }

}  // namespace syncline
