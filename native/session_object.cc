// A session as JavaScript sees it: the buffers it shares and the functions it calls (src/fuse/addon.ts).
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "session.h"
#include "values.h"

namespace syncline {
namespace {

// A century, so that the nanoseconds fit in 64 bits.
constexpr double kMostTimeoutS = 100.0 * 366 * 86400;

// Memory that is there from the start: a page fault while the kernel copies a request would lose the request to a kill.
char* ResidentMemory(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  (void)mlock(memory, bytes);  // best effort: RLIMIT_MEMLOCK may forbid it
  return static_cast<char*>(memory);
}

void FreeInput(napi_env, void* memory, void*) { RequestSlots::Unmap(static_cast<char*>(memory)); }

void FreeOpens(napi_env, void* memory, void*) { UnmapOpens(static_cast<char*>(memory)); }

void FreeOutput(napi_env, void* memory, void*) { munmap(memory, kOutputBytes); }

// Takes over the memory, if there is any.
char* DefineBuffer(napi_env env, napi_value object, const char* name, char* memory, size_t bytes, napi_finalize free) {
  napi_value buffer;
  if (!memory) return nullptr;
  if (napi_create_external_buffer(env, bytes, memory, free, nullptr, &buffer) != napi_ok) {
    free(env, memory, nullptr);
    return nullptr;
  }
  napi_set_named_property(env, object, name, buffer);
  return memory;
}

// Tells sessions from what other addons wrapped.
constexpr napi_type_tag kSessionTag = {0x5f0c2c9be5f14a6b, 0x9d5c1b4a37e80d12};

// The session that a method is called on. Throws and returns null where that is anything else.
Session* This(napi_env env, napi_callback_info info) {
  napi_value self;
  bool isSession = false;
  void* session = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, &self, nullptr);
  if (napi_check_object_type_tag(env, self, &kSessionTag, &isSession) != napi_ok || !isSession ||
      napi_unwrap(env, self, &session) != napi_ok) {
    napi_throw_type_error(env, nullptr, "This method needs the session that it belongs to.");
    return nullptr;
  }
  return static_cast<Session*>(session);
}

napi_value FlushMethod(napi_env env, napi_callback_info info) {
  if (Session* session = This(env, info)) session->Flush();
  return nullptr;
}

napi_value AnswerMethod(napi_env env, napi_callback_info info) {
  Session* session = This(env, info);
  if (!session) return nullptr;
  Arguments arguments(env, info, "answer");
  const auto ticket = arguments.Whole<uint64_t>(0);
  if (arguments.Threw()) return nullptr;
  napi_value result;
  napi_get_boolean(env, session->Answer(ticket), &result);
  return result;
}

napi_value PackMethod(napi_env env, napi_callback_info info) {
  Session* session = This(env, info);
  if (!session) return nullptr;
  Arguments arguments(env, info, "packEntries");
  const auto count = arguments.Whole<size_t>(0, 0, kMaxEntries);
  const bool plus = arguments.Flag(1);
  const auto offset = arguments.Whole<size_t>(2, 0, kOutputBytes);
  const auto limit = arguments.Whole<size_t>(3, 0, kOutputBytes - offset);
  if (arguments.Threw()) return nullptr;
  const std::optional<size_t> used = session->Pack(count, plus, offset, limit);
  if (!used) arguments.OutOfRange(0, "counts entries whose names do not fit in entryNames");
  return used ? Number(env, static_cast<double>(*used)) : nullptr;
}

napi_value WatchMethod(napi_env env, napi_callback_info info) {
  Session* session = This(env, info);
  if (!session) return nullptr;
  Arguments arguments(env, info, "watch");
  const uint64_t inode = arguments.Inode(0);
  const bool probe = arguments.Flag(1);
  if (!arguments.Threw()) session->Watch(inode, probe);
  return nullptr;
}

napi_value LeaveToSupervisorMethod(napi_env env, napi_callback_info info) {
  if (Session* session = This(env, info)) session->LeaveToSupervisor();
  return nullptr;
}

napi_value ResendMethod(napi_env env, napi_callback_info info) {
  Session* session = This(env, info);
  if (!session) return nullptr;
  const int error = session->Resend();
  return error == 0 ? nullptr : ThrowErrno(env, "resend", error);
}

napi_value KeepRequestsMethod(napi_env env, napi_callback_info info) {
  if (Session* session = This(env, info)) session->KeepRequests();
  return nullptr;
}

napi_value InvalidateInodeMethod(napi_env env, napi_callback_info info) {
  Session* session = This(env, info);
  if (!session) return nullptr;
  Arguments arguments(env, info, "invalidateInode");
  const uint64_t inode = arguments.Inode(0);
  if (!arguments.Threw()) session->notifier().InvalidateInode(inode, 0, 0);
  return nullptr;
}

napi_value InvalidateEntryMethod(napi_env env, napi_callback_info info) {
  Session* session = This(env, info);
  if (!session) return nullptr;
  Arguments arguments(env, info, "invalidateEntry");
  const uint64_t parent = arguments.Inode(0);
  std::string name = arguments.Name(1);
  const uint64_t removed = arguments.Inode(2);
  const bool isUsed = arguments.Flag(3);
  if (arguments.Threw()) return nullptr;
  if (removed != 0) {
    session->notifier().DeleteEntry(parent, removed, std::move(name), isUsed);
  } else {
    session->notifier().InvalidateEntry(parent, std::move(name));
  }
  return nullptr;
}

napi_value ExpireEntryMethod(napi_env env, napi_callback_info info) {
  Session* session = This(env, info);
  if (!session) return nullptr;
  Arguments arguments(env, info, "expireEntry");
  const uint64_t parent = arguments.Inode(0);
  std::string name = arguments.Name(1);
  if (!arguments.Threw()) session->notifier().ExpireEntry(parent, std::move(name));
  return nullptr;
}

napi_value HoldMessagesMethod(napi_env env, napi_callback_info info) {
  Session* session = This(env, info);
  if (!session) return nullptr;
  Arguments arguments(env, info, "holdMessages");
  const uint64_t inode = arguments.Inode(0);
  if (!arguments.Threw()) session->notifier().Hold(inode);
  return nullptr;
}

napi_value ReleaseMessagesMethod(napi_env env, napi_callback_info info) {
  Session* session = This(env, info);
  if (!session) return nullptr;
  Arguments arguments(env, info, "releaseMessages");
  const uint64_t inode = arguments.Inode(0);
  if (!arguments.Threw()) session->notifier().Release(inode);
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

}  // namespace

napi_value MountMemory(napi_env env, napi_callback_info) {
  const int descriptor = CreateMountMemory();
  return descriptor >= 0 ? Number(env, descriptor) : ThrowErrno(env, "a mount's memory", errno);
}

napi_value Serve(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "serve");
  const int device = arguments.Descriptor(0);
  const int memory = arguments.Descriptor(1);
  const auto timeout = [&](const char* name) {
    return static_cast<uint64_t>(arguments.Property(2, name, 0, kMostTimeoutS) * 1e9);
  };
  const ReplySettings settings = {
      timeout("attributeTimeoutS"),
      timeout("entryTimeoutS"),
      timeout("negativeTimeoutS"),
      static_cast<uint32_t>(arguments.Property(2, "blockSize", 1, UINT32_MAX)),
  };
  const auto spinNs = static_cast<uint64_t>(arguments.Property(2, "spinUs", 0, kMostTimeoutS) * 1e3);
  const Session::Handlers handlers = {
      arguments.Function(3, "onBatch"),
      arguments.Function(3, "onForgotten"),
      arguments.Function(3, "onEnd"),
  };
  if (arguments.Threw()) return nullptr;
  auto session = std::make_unique<Session>(env, device, memory, settings, spinNs);
  const napi_value object = session->Start(handlers);
  // From here on it belongs to the JavaScript object.
  if (object != nullptr) session.release();
  return object;
}

napi_value Session::Start(const Handlers& handlers) {
  napi_value object, cells, view, names, name;
  napi_create_object(env_, &object);

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
  input_ = DefineBuffer(env_, object, "input", slots_.Map(mountMemory_), kInputBytes, FreeInput);
  output_ = DefineBuffer(env_, object, "output", ResidentMemory(kOutputBytes), kOutputBytes, FreeOutput);
  if (!input_ || !output_) return ThrowErrno(env_, "serve: request buffers", errno);
  DefineBuffer(env_, object, "opens", MapOpens(mountMemory_), kOpensBytes, FreeOpens);

  Define(env_, object, "flush", FlushMethod, nullptr);
  Define(env_, object, "answer", AnswerMethod, nullptr);
  Define(env_, object, "packEntries", PackMethod, nullptr);
  Define(env_, object, "watch", WatchMethod, nullptr);
  Define(env_, object, "resend", ResendMethod, nullptr);
  Define(env_, object, "keepRequests", KeepRequestsMethod, nullptr);
  Define(env_, object, "leaveToSupervisor", LeaveToSupervisorMethod, nullptr);
  Define(env_, object, "invalidateInode", InvalidateInodeMethod, nullptr);
  Define(env_, object, "invalidateEntry", InvalidateEntryMethod, nullptr);
  Define(env_, object, "expireEntry", ExpireEntryMethod, nullptr);
  Define(env_, object, "holdMessages", HoldMessagesMethod, nullptr);
  Define(env_, object, "releaseMessages", ReleaseMessagesMethod, nullptr);
  Define(env_, object, "incrementEpoch", IncrementEpochMethod, nullptr);
  Define(env_, object, "close", CloseMethod, nullptr);
  // Its properties hold the memory that the session uses.
  napi_object_freeze(env_, object);

  uv_loop_t* loop;
  napi_get_uv_event_loop(env_, &loop);
  forgottenEvent_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (forgottenEvent_ < 0) return ThrowErrno(env_, "eventfd", errno);
  // Refuses what cannot be waited for, such as a regular file, and what is served already.
  const int refused = uv_poll_init(loop, &poll_, device_);
  if (refused != 0) {
    close(forgottenEvent_);
    return ThrowErrno(env_, "serve", -refused);
  }
  poll_.data = this;
  uv_poll_init(loop, &forgottenPoll_, forgottenEvent_);
  forgottenPoll_.data = this;
  uv_poll_start(&forgottenPoll_, UV_READABLE, OnForgotten);
  uv_unref(reinterpret_cast<uv_handle_t*>(&forgottenPoll_));
  uv_idle_init(loop, &idle_);
  idle_.data = this;
  uv_check_init(loop, &check_);
  check_.data = this;
  openHandles_ = 4;

  napi_wrap(env_, object, this, [](napi_env, void* session, void*) { delete static_cast<Session*>(session); }, nullptr,
            nullptr);
  napi_type_tag_object(env_, object, &kSessionTag);
  napi_create_reference(env_, object, 1, &object_);
  napi_create_reference(env_, handlers.onBatch, 1, &onBatch_);
  napi_create_reference(env_, handlers.onForgotten, 1, &onForgotten_);
  napi_create_reference(env_, handlers.onEnd, 1, &onEnd_);
  napi_create_string_utf8(env_, "syncline:fuse", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env_, nullptr, name, &asyncContext_);
  notifier_ = std::make_unique<Notifier>(device_, forgottenEvent_, [this](uint64_t inode) {
    std::lock_guard<std::mutex> lock(forgottenMutex_);
    forgotten_.push_back(inode);
  });
  napi_add_async_cleanup_hook(env_, OnEnvironmentEnds, this, &cleanupHook_);
  uv_poll_start(&poll_, UV_READABLE, OnReadable);
  return object;
}

}  // namespace syncline
