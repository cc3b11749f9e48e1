// Brings what threads report to the event loop, many at a time.
#pragma once

#include <napi.h>

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "completion_sink.h"

namespace shoal {

// The completions of one JavaScript environment. JavaScript keeps a table of promises by ticket, so a request costs no
// handles here, and nothing is left behind when a worker is terminated with requests in flight.
class Completions final : public CompletionSink {
 public:
  // `deliver` is called on the event loop with n, when `results` holds n pairs of a ticket and its result.
  static std::shared_ptr<Completions> Create(Napi::Env env, Napi::Int32Array results, Napi::Function deliver);

  // On the event loop: a request was started, one more ticket will be posted. The loop stays alive until it is delivered.
  void Expect();

  void Post(uint32_t ticket, int error) override;

 private:
  Completions(Napi::Env env, Napi::Int32Array results, Napi::Function deliver);

  static void OnWakeup(napi_env env, napi_value callback, void* context, void* data);
  void Deliver();
  void Close();

  // Touched on the event loop alone.
  const Napi::Env env_;
  Napi::Reference<Napi::Int32Array> results_;
  Napi::FunctionReference deliver_;
  int32_t* const pairs_;
  const size_t room_;  // pairs
  size_t expected_ = 0;

  std::mutex mutex_;
  napi_threadsafe_function wakeup_ = nullptr;
  // Set when the environment ends: whatever is posted later has nobody to hear it.
  bool closed_ = false;
  std::vector<std::pair<uint32_t, int>> posted_;
};

}  // namespace shoal
