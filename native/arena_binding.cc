// JavaScript's side of the arena: one ArrayBuffer over the whole mapping. Views of it are made in JavaScript.
#include "arena.h"
#include "bindings.h"

namespace shoal {
namespace {

// createArena(capacity: number, hugePages: boolean): ArrayBuffer
Napi::Value CreateArena(const Napi::CallbackInfo& info) {
  const size_t capacity = static_cast<size_t>(info[0].As<Napi::Number>().Int64Value());
  std::shared_ptr<Mapping> mapping;
  try {
    mapping = Mapping::Create(capacity, info[1].As<Napi::Boolean>());
  } catch (const SystemFailure& failure) {
    throw SystemError(info.Env(), failure);
  }
  uint8_t* data = mapping->data();
  // The ArrayBuffer, and so every view, holds a reference.
  return Napi::ArrayBuffer::New(
      info.Env(), data, capacity, [](Napi::Env, void*, std::shared_ptr<Mapping>* held) { delete held; },
      new std::shared_ptr<Mapping>(std::move(mapping)));
}

// discard(memory: ArrayBuffer, offset: number, length: number): void
void Discard(const Napi::CallbackInfo& info) {
  Napi::ArrayBuffer memory = info[0].As<Napi::ArrayBuffer>();
  const size_t offset = static_cast<size_t>(info[1].As<Napi::Number>().Int64Value());
  const size_t length = static_cast<size_t>(info[2].As<Napi::Number>().Int64Value());
  const std::shared_ptr<Mapping> mapping = Mapping::Find(static_cast<uint8_t*>(memory.Data()) + offset, length);
  if (!mapping) throw Napi::RangeError::New(info.Env(), "the range is outside of the arena");
  const int error = mapping->Discard(offset, length);
  if (error != 0) throw SystemError(info.Env(), SystemFailure{"madvise", error});
}

}  // namespace

void BindArena(Napi::Env env, Napi::Object exports) {
  exports["createArena"] = Napi::Function::New(env, CreateArena, "createArena");
  exports["discard"] = Napi::Function::New(env, Discard, "discard");
}

}  // namespace shoal
