#include "completions.h"

#include <algorithm>

namespace shoal {
namespace {

void Check(Napi::Env env, napi_status status) {
  if (status != napi_ok) throw Napi::Error::New(env);
}

}  // namespace

std::shared_ptr<Completions> Completions::Create(Napi::Env env, Napi::Int32Array results, Napi::Function deliver) {
  std::shared_ptr<Completions> completions(new Completions(env, results, deliver));
  // Cleanup hooks run last in, first out: this one before the threadsafe function's own.
  env.AddCleanupHook([completions] { completions->Close(); });
  return completions;
}

Completions::Completions(Napi::Env env, Napi::Int32Array results, Napi::Function deliver)
    : env_(env), results_(Napi::Persistent(results)), deliver_(Napi::Persistent(deliver)),
      pairs_(results.Data()), room_(results.ElementLength() / 2) {
  Check(env, napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "shoal completions"), 0, 1,
                                             nullptr, nullptr, this, OnWakeup, &wakeup_));
  // Only requests under way keep the process alive, see Expect.
  Check(env, napi_unref_threadsafe_function(env, wakeup_));
}

void Completions::Expect() {
  if (expected_++ == 0) Check(env_, napi_ref_threadsafe_function(env_, wakeup_));
}

void Completions::Post(uint32_t ticket, int error) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return;
  posted_.emplace_back(ticket, error);
  // One wakeup delivers everything that is there by then.
  if (posted_.size() == 1) napi_call_threadsafe_function(wakeup_, nullptr, napi_tsfn_nonblocking);
}

void Completions::OnWakeup(napi_env env, napi_value, void* context, void*) {
  // Node calls without an environment while it takes the environment down.
  if (env == nullptr) return;
  static_cast<Completions*>(context)->Deliver();
}

// In plain Node-API: when a worker is being terminated calls fail at any point, and a C++ exception would have nowhere to
// go. What JavaScript throws stays pending, and Node reports it.
void Completions::Deliver() {
  std::vector<std::pair<uint32_t, int>> posted;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    posted.swap(posted_);
  }
  expected_ -= posted.size();
  if (expected_ == 0) napi_unref_threadsafe_function(env_, wakeup_);

  for (size_t next = 0; next < posted.size();) {
    const size_t count = std::min(room_, posted.size() - next);
    for (size_t i = 0; i < count; ++i, ++next) {
      pairs_[2 * i] = static_cast<int32_t>(posted[next].first);
      pairs_[2 * i + 1] = posted[next].second;
    }
    napi_value receiver, deliver, argument;
    if (napi_get_undefined(env_, &receiver) != napi_ok ||
        napi_get_reference_value(env_, deliver_, &deliver) != napi_ok ||
        napi_create_uint32(env_, static_cast<uint32_t>(count), &argument) != napi_ok ||
        napi_call_function(env_, receiver, deliver, 1, &argument, nullptr) != napi_ok) {
      return;
    }
  }
}

void Completions::Close() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    napi_release_threadsafe_function(wakeup_, napi_tsfn_abort);
  }
  // The references belong to the environment: whichever thread drops the last pointer to this must find them gone.
  results_.Reset();
  deliver_.Reset();
}

}  // namespace shoal
