// JavaScript's side of the block device.
#include <functional>
#include <optional>

#include "bindings.h"
#include "block_device.h"

namespace shoal {
namespace {

// Runs something that blocks on libuv's pool. Rare calls only: requests have the engine's own threads.
class BlockingCall final : public Napi::AsyncWorker {
 public:
  // `owner` is kept until the call is over. `call` throws SystemFailure.
  static Napi::Promise Start(Napi::Object owner, std::function<void()> call) {
    auto* worker = new BlockingCall(owner, std::move(call));
    worker->Queue();
    return worker->deferred_.Promise();
  }

 private:
  BlockingCall(Napi::Object owner, std::function<void()> call)
      : Napi::AsyncWorker(owner.Env(), "shoal disk"),
        deferred_(owner.Env()),
        owner_(Napi::Persistent(owner)),
        call_(std::move(call)) {}

  void Execute() override {
    try {
      call_();
    } catch (const SystemFailure& failure) {
      failure_ = failure;
      SetError(failure.syscall);
    }
  }

  void OnOK() override { deferred_.Resolve(Env().Undefined()); }

  void OnError(const Napi::Error& error) override {
    deferred_.Reject(failure_ ? SystemError(Env(), *failure_).Value() : error.Value());
  }

  Napi::Promise::Deferred deferred_;
  Napi::ObjectReference owner_;
  const std::function<void()> call_;
  std::optional<SystemFailure> failure_;
};

class BlockDeviceObject final : public Napi::ObjectWrap<BlockDeviceObject> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "BlockDevice",
        {InstanceMethod<&BlockDeviceObject::Open>("open"), InstanceMethod<&BlockDeviceObject::Submit>("submit"),
         InstanceMethod<&BlockDeviceObject::Sync>("sync"), InstanceMethod<&BlockDeviceObject::Describe>("describe"),
         InstanceMethod<&BlockDeviceObject::Load>("load"), InstanceMethod<&BlockDeviceObject::Close>("close")});
  }

  // new BlockDevice(path: string, capacity: number, aio: boolean, depth: number, readOnly: boolean)
  explicit BlockDeviceObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<BlockDeviceObject>(info),
        completions_(CompletionsOf(info.Env())),
        options_{info[0].As<Napi::String>(), static_cast<uint64_t>(info[1].As<Napi::Number>().Int64Value()),
                 info[2].As<Napi::Boolean>(), info[3].As<Napi::Number>().Uint32Value(), info[4].As<Napi::Boolean>()} {}

 private:
  // open(): Promise<void>, once, before anything else.
  Napi::Value Open(const Napi::CallbackInfo& info) {
    return BlockingCall::Start(info.This().As<Napi::Object>(),
                               [this] { device_ = std::make_unique<BlockDevice>(options_, completions_); });
  }

  // submit(write: boolean, data: Uint8Array, offset: number, ticket: number): void. The ticket is delivered.
  void Submit(const Napi::CallbackInfo& info) {
    Napi::Uint8Array data = info[1].As<Napi::Uint8Array>();
    std::shared_ptr<Mapping> memory = Mapping::Find(data.Data(), data.ByteLength());
    if (!memory) throw Napi::TypeError::New(info.Env(), "the buffer is not a view of an arena");
    Device(info).engine().Submit(IoRequest{info[0].As<Napi::Boolean>(), data.Data(), data.ByteLength(),
                                           static_cast<uint64_t>(info[2].As<Napi::Number>().Int64Value()),
                                           info[3].As<Napi::Number>().Uint32Value(), std::move(memory)});
    completions_->Expect();
  }

  // sync(): Promise<void>
  Napi::Value Sync(const Napi::CallbackInfo& info) {
    BlockDevice* device = &Device(info);
    return BlockingCall::Start(info.This().As<Napi::Object>(), [device] {
      const int error = device->Sync();
      if (error != 0) throw SystemFailure{"fdatasync", error};
    });
  }

  // describe(): { capacity: number, direct: boolean, engine: string, engineReason: string }
  Napi::Value Describe(const Napi::CallbackInfo& info) {
    const BlockDevice& device = Device(info);
    Napi::Object result = Napi::Object::New(info.Env());
    result["capacity"] = Napi::Number::New(info.Env(), static_cast<double>(device.capacity()));
    result["direct"] = Napi::Boolean::New(info.Env(), device.direct());
    result["engine"] = Napi::String::New(info.Env(), device.engine_name());
    result["engineReason"] = Napi::String::New(info.Env(), device.engine_reason());
    return result;
  }

  // load(): { inFlight: number, queued: number }
  Napi::Value Load(const Napi::CallbackInfo& info) {
    const IoEngine::Load load = Device(info).engine().load();
    Napi::Object result = Napi::Object::New(info.Env());
    result["inFlight"] = Napi::Number::New(info.Env(), static_cast<double>(load.in_flight));
    result["queued"] = Napi::Number::New(info.Env(), static_cast<double>(load.queued));
    return result;
  }

  // close(): Promise<void>, when no request and no sync is under way. The last call.
  Napi::Value Close(const Napi::CallbackInfo& info) {
    Device(info);
    // Shared, because a std::function must be copyable; there is only ever one copy.
    return BlockingCall::Start(info.This().As<Napi::Object>(),
                               [device = std::shared_ptr<BlockDevice>(std::move(device_))]() mutable { device.reset(); });
  }

  BlockDevice& Device(const Napi::CallbackInfo& info) {
    if (!device_) throw Napi::Error::New(info.Env(), "the block device is not open");
    return *device_;
  }

  const std::shared_ptr<Completions> completions_;
  const BlockDeviceOptions options_;
  std::unique_ptr<BlockDevice> device_;
};

}  // namespace

void BindBlockDevice(Napi::Env env, Napi::Object exports) {
  exports["BlockDevice"] = BlockDeviceObject::Define(env);
}

}  // namespace shoal
