// Work for many files in one turn of the thread pool: to hand each call to it and back wakes two threads.
#pragma once

#include <node_api.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "values.h"

namespace syncline {

class Batch {
 public:
  virtual ~Batch() = default;

  // `kept`, if any, stays in memory until the promise is settled.
  static napi_value Start(napi_env env, std::unique_ptr<Batch> batch, const char* name, napi_value kept) {
    napi_value promise, resource;
    napi_create_promise(env, &batch->deferred_, &promise);
    if (kept != nullptr) napi_create_reference(env, kept, 1, &batch->kept_);
    napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &resource);
    napi_create_async_work(env, nullptr, resource, Execute, Complete, batch.get(), &batch->work_);
    napi_queue_async_work(env, batch->work_);
    batch.release();
    return promise;
  }

 protected:
  virtual void Run() = 0;

  std::vector<double> rows_;
  const char* what_ = "";
  int error_ = 0;

 private:
  static void Execute(napi_env, void* data) { static_cast<Batch*>(data)->Run(); }

  static void Complete(napi_env env, napi_status status, void* data) {
    const std::unique_ptr<Batch> batch(static_cast<Batch*>(data));
    if (status != napi_ok && batch->error_ == 0) batch->error_ = ECANCELED;
    if (batch->error_ == 0) {
      napi_resolve_deferred(env, batch->deferred_, Doubles(env, batch->rows_));
    } else {
      napi_reject_deferred(env, batch->deferred_, ErrnoError(env, batch->what_, batch->error_));
    }
    if (batch->kept_ != nullptr) napi_delete_reference(env, batch->kept_);
    napi_delete_async_work(env, batch->work_);
  }

  napi_deferred deferred_ = nullptr;
  napi_async_work work_ = nullptr;
  napi_ref kept_ = nullptr;
};

}  // namespace syncline
