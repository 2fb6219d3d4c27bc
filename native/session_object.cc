// A session as JavaScript sees it: the buffers it shares and the functions it calls (src/fuse/addon.ts).
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <cerrno>

#include "session.h"
#include "values.h"

namespace syncline {
namespace {

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
                              NumberProperty(env, given, "followClient") != 0,
                              static_cast<uint64_t>(NumberProperty(env, given, "spinUs") * 1e3));
  return session->Start(arguments[2]);
}

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
  forgottenEvent_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  uv_poll_init(loop, &forgottenPoll_, forgottenEvent_);
  forgottenPoll_.data = this;
  uv_poll_start(&forgottenPoll_, UV_READABLE, OnForgotten);
  uv_unref(reinterpret_cast<uv_handle_t*>(&forgottenPoll_));
  uv_poll_init(loop, &poll_, device_);
  poll_.data = this;
  uv_idle_init(loop, &idle_);
  idle_.data = this;
  uv_check_init(loop, &check_);
  check_.data = this;
  openHandles_ = 4;
  notifier_ = std::make_unique<Notifier>(device_, forgottenEvent_, [this](uint64_t inode) {
    std::lock_guard<std::mutex> lock(forgottenMutex_);
    forgotten_.push_back(inode);
  });
  napi_add_async_cleanup_hook(env_, OnEnvironmentEnds, this, &cleanupHook_);
  uv_poll_start(&poll_, UV_READABLE, OnReadable);
  return object;
}

}  // namespace syncline
