// One mount being served: reads requests in batches, hands each batch to JavaScript in one call, sends the replies.
//
// Everything runs on the thread that called serve(), in its event loop, except the notifier.
#pragma once

#include <node_api.h>
#include <uv.h>

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "layout.h"
#include "notifier.h"
#include "recovered.h"
#include "replies.h"
#include "mount_memory.h"
#include "request_slots.h"
#include "requests.h"
#include "spinner.h"

namespace syncline {

// createMountMemory(): a descriptor of memory (mount_memory.h), for serve().
napi_value MountMemory(napi_env env, napi_callback_info info);
// serve(device, memory, settings, handlers): the object described in src/fuse/addon.ts. The device then belongs to it.
napi_value Serve(napi_env env, napi_callback_info info);

class Session {
 public:
  Session(napi_env env, int device, int mountMemory, const ReplySettings& settings, uint64_t spinNs);

  // The functions that JavaScript gave.
  struct Handlers {
    napi_value onBatch, onForgotten, onEnd;
  };
  // Makes the JavaScript object, which then owns this, and starts to read. Null with a pending exception if there is no memory, or if
  // the device cannot be waited for.
  napi_value Start(const Handlers& handlers);

  // Sends the replies that are ready. JavaScript calls this once their changes are in the journal.
  void Flush();
  // Sends the solo row's reply to a deferred request. False if there is none with that ticket.
  bool Answer(uint64_t ticket);
  // As PackEntries (replies.h). `offset` and `limit` are within the output.
  std::optional<size_t> Pack(size_t count, bool plus, size_t offset, size_t limit);
  void Watch(uint64_t inode, bool probe);
  // Makes the kernel send again what another process read from the device and did not answer, and reads that. 0 or an errno.
  int Resend();
  // From now on, requests stay in the slots until they are answered. Those that another process left there come first.
  void KeepRequests();
  Notifier& notifier() { return *notifier_; }
  // From now on, another process takes over if this one ends without Close. Calls in flight are left to it.
  void LeaveToSupervisor() { isLeft_ = true; }
  // Ends serving: calls in flight fail, the device is closed. Harmless when done twice.
  void Close();

 private:
  struct Deferred {
    uint64_t unique;
    uint32_t opcode;
    // Where the request is kept: its entry in the batch, or the slot that it was moved to. Negative: not there.
    int entry;
    int slot;
  };

  // Nested in the order of what happens when the device becomes readable.
  static void OnReadable(uv_poll_t* poll, int status, int events);
  // The event loop had its turn, and no request came meanwhile.
  static void OnPaused(uv_check_t* check);
  static void OnRecovered(uv_check_t* check);
  // Serves what waits, and what follows awake if that is expected.
  void ServeTurn(bool expectsMore);
  void EndPause();
  // Reads, has answered and answers what waits; false at the end.
  bool ServeBatch();
  bool ReadBatch(std::vector<napi_value>* arguments);
  // Has the event loop serve the recovered requests, since the device may have nothing to read.
  void ServeRecoveredSoon();
  // Serves all of them.
  void ServeRecovered();
  // Takes requests that another process did not answer. Returns how many bytes of input they use.
  size_t TakeRecovered(std::vector<napi_value>* arguments);
  // Reads one request to `input_ + at`; its length, 0 when there is none now, or -1 when there never will be.
  ssize_t ReadRequest(size_t at);
  // Takes one request, which is kept in `slot` if that is not negative. True if its bytes must stay until the batch is over.
  bool Take(size_t at, size_t length, int slot, std::vector<napi_value>* arguments);
  // The request needs no answer any more.
  void Answered(const Deferred& request);
  void TakeForgets(const Request& request);
  bool TakeInterrupt(const Request& request);
  // False if JavaScript threw, or was stopped.
  bool Call(napi_ref function, size_t count, const napi_value* arguments);
  // Ends a batch: what was not sent becomes EIO, whatever its row says.
  void RefuseRest();
  // Ends a batch in whose middle JavaScript was stopped. The next agent gets what was not sent, and all further requests: what the
  // batch changed may not be in the journal.
  void LeaveBatch();

  static void OnForgotten(uv_poll_t* poll, int status, int events);
  void End(int error);
  void CloseDevice();
  // Ends serving, and leaves all calls in flight unanswered.
  void Leave();
  void CloseHandles();
  bool isLeft_ = false;
  static void OnHandleClosed(uv_handle_t* handle);
  static void OnEnvironmentEnds(napi_async_cleanup_hook_handle hook, void* data);

  double* Row(int row) { return cells_ + row * kRowCells; }

  napi_env env_;
  int device_;
  int mountMemory_;
  ReplySettings settings_;
  Spinner spinner_;

  napi_ref object_ = nullptr;  // keeps the buffers while the session runs
  napi_ref onBatch_ = nullptr;
  napi_ref onForgotten_ = nullptr;
  napi_ref onEnd_ = nullptr;
  napi_async_context asyncContext_ = nullptr;
  napi_async_cleanup_hook_handle cleanupHook_ = nullptr;

  double* cells_ = nullptr;
  char* input_ = nullptr;
  char* output_ = nullptr;
  char* entryNames_ = nullptr;

  int rows_ = 0;
  uint64_t nextTicket_ = 1;
  Deferred batch_[kRows];
  uint64_t tickets_[kRows];
  bool sent_[kRows];
  std::unordered_map<uint64_t, Deferred> deferred_;
  std::unordered_set<uint64_t> watched_;
  RequestSlots slots_;
  bool keeps_ = false;
  std::deque<Recovered> recovered_;

  uv_poll_t poll_;
  uv_idle_t idle_;
  uv_check_t check_;
  uv_poll_t forgottenPoll_;
  int forgottenEvent_ = -1;
  int openHandles_ = 0;
  bool closed_ = false;
  std::unique_ptr<Notifier> notifier_;
  std::mutex forgottenMutex_;
  std::vector<uint64_t> forgotten_;
};

}  // namespace syncline
