// The addon: what src/native finds in build/Release/shoal.node.
#include <napi.h>

#include "bindings.h"

namespace shoal {

std::shared_ptr<Completions> CompletionsOf(Napi::Env env) {
  Environment* environment = env.GetInstanceData<Environment>();
  if (environment == nullptr) throw Napi::Error::New(env, "connect() has not been called");
  return environment->completions;
}

Napi::Error SystemError(Napi::Env env, const SystemFailure& failure) {
  Napi::Error result = Napi::Error::New(env, failure.syscall);
  result.Set("errno", Napi::Number::New(env, failure.error));
  return result;
}

namespace {

// connect(results: Int32Array, deliver: (count: number) => void): void, once, before anything asynchronous.
void Connect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (env.GetInstanceData<Environment>() != nullptr) throw Napi::Error::New(env, "connect() was called before");
  env.SetInstanceData(
      new Environment{Completions::Create(env, info[0].As<Napi::Int32Array>(), info[1].As<Napi::Function>())});
}

// Of what is exported; see `interfaceVersion` in src/native/addon.ts, which refuses an addon with another number.
constexpr int kInterfaceVersion = 1;

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  exports["interfaceVersion"] = Napi::Number::New(env, kInterfaceVersion);
  exports["connect"] = Napi::Function::New(env, Connect, "connect");
  BindArena(env, exports);
  BindChecksums(env, exports);
  BindBlockDevice(env, exports);
  BindSockets(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(shoal, Initialize)

}  // namespace shoal
