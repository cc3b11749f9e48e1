// What the addon's parts share. Arguments are checked in src/native, the only caller; here only what memory safety needs.
#pragma once

#include <napi.h>

#include <memory>

#include "completions.h"
#include "system_failure.h"

namespace shoal {

// What belongs to one JavaScript environment: the main thread's, or a worker's.
struct Environment {
  std::shared_ptr<Completions> completions;
};

// The completions of the environment; throws a JavaScript Error before `connect` was called.
std::shared_ptr<Completions> CompletionsOf(Napi::Env env);

// An Error whose message is the system call that failed and which has `errno` (positive), for src/native to put in words.
Napi::Error SystemError(Napi::Env env, const SystemFailure& failure);

void BindArena(Napi::Env env, Napi::Object exports);
void BindChecksums(Napi::Env env, Napi::Object exports);
void BindBlockDevice(Napi::Env env, Napi::Object exports);
void BindSockets(Napi::Env env, Napi::Object exports);

}  // namespace shoal
