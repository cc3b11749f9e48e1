// JavaScript's side of the checksums.
#include <algorithm>
#include <thread>

#include "arena.h"
#include "bindings.h"
#include "crc32c.h"
#include "sha256_stream.h"

namespace shoal {
namespace {

// crc32c(data: Uint8Array, seed: number): number
Napi::Value ComputeCrc32c(const Napi::CallbackInfo& info) {
  const Napi::Uint8Array data = info[0].As<Napi::Uint8Array>();
  const uint32_t seed = info[1].As<Napi::Number>().Uint32Value();
  return Napi::Number::New(info.Env(), Crc32c(seed, data.Data(), data.ByteLength()));
}

// Threads of our own rather than libuv's four: those also resolve names, and four slow name servers would stop every
// hash. One core computes about 2 GB/s, so four are more than a 50 Gbit/s link brings. A pool is the process's, for all
// environments, and never destroyed: its threads may still run when static destructors do.
ThreadPool* NewPool(const char* name, int niceness) {
  constexpr unsigned kMaxThreads = 4;
  return new ThreadPool(name, std::clamp(std::thread::hardware_concurrency(), 1u, kMaxThreads), niceness);
}

// Hashing is a third of what the engine computes, and only a blob's last piece waits for it: where the processors are
// busy, the runtime's unpacking, which everything waits for, goes first. A thirtieth of a busy core still hashes 50 MB/s.
ThreadPool& HashPool() {
  constexpr int kNiceness = 15;
  static ThreadPool* pool = NewPool("shoal-hash", kNiceness);
  return *pool;
}

// A reader waits for each of these.
ThreadPool& ChecksumPool() {
  static ThreadPool* pool = NewPool("shoal-crc", 0);
  return *pool;
}

// crc32cOffLoop(data: Uint8Array, ticket: number): void. The ticket comes with the checksum.
void ComputeCrc32cOffLoop(const Napi::CallbackInfo& info) {
  const Napi::Uint8Array data = info[0].As<Napi::Uint8Array>();
  // Held until the thread is through: an environment that ends gives its own memory back without asking.
  std::shared_ptr<Mapping> memory = Mapping::Find(data.Data(), data.ByteLength());
  if (!memory) throw Napi::TypeError::New(info.Env(), "the bytes are not a view of an arena");
  std::shared_ptr<Completions> completions = CompletionsOf(info.Env());
  ChecksumPool().Post([memory = std::move(memory), completions, bytes = data.Data(), length = data.ByteLength(),
                   ticket = info[1].As<Napi::Number>().Uint32Value()] {
    completions->Post(ticket, static_cast<int32_t>(Crc32c(0, bytes, length)));
  });
  completions->Expect();
}

class Sha256Object final : public Napi::ObjectWrap<Sha256Object> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Sha256",
                       {InstanceMethod<&Sha256Object::Update>("update"),
                        InstanceMethod<&Sha256Object::Finish>("finish"), InstanceMethod<&Sha256Object::Hex>("hex")});
  }

  explicit Sha256Object(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<Sha256Object>(info),
        completions_(CompletionsOf(info.Env())),
        stream_(std::make_shared<Sha256Stream>(HashPool(), completions_)) {}

  // When the environment ends, an arena's memory may be given back before this runs, V8's own memory is not.
  ~Sha256Object() override { stream_->Abandon(); }

 private:
  // update(chunk: Uint8Array, ticket: number): void. The caller keeps this object and the chunk until the ticket comes.
  void Update(const Napi::CallbackInfo& info) {
    const Napi::Uint8Array chunk = info[0].As<Napi::Uint8Array>();
    stream_->Update(chunk.Data(), chunk.ByteLength(), info[1].As<Napi::Number>().Uint32Value());
    completions_->Expect();
  }

  // finish(ticket: number): void
  void Finish(const Napi::CallbackInfo& info) {
    stream_->Finish(info[0].As<Napi::Number>().Uint32Value());
    completions_->Expect();
  }

  // hex(): string, once the ticket of finish has come.
  Napi::Value Hex(const Napi::CallbackInfo& info) {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string hex;
    for (const uint8_t byte : stream_->digest()) {
      hex += kDigits[byte >> 4];
      hex += kDigits[byte & 15];
    }
    return Napi::String::New(info.Env(), hex);
  }

  const std::shared_ptr<Completions> completions_;
  const std::shared_ptr<Sha256Stream> stream_;
};

}  // namespace

void BindChecksums(Napi::Env env, Napi::Object exports) {
  exports["crc32c"] = Napi::Function::New(env, ComputeCrc32c, "crc32c");
  exports["crc32cOffLoop"] = Napi::Function::New(env, ComputeCrc32cOffLoop, "crc32cOffLoop");
  exports["Sha256"] = Sha256Object::Define(env);
}

}  // namespace shoal
