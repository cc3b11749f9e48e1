// What Node does not let JavaScript say about its sockets.
#include <sys/socket.h>

#include <cerrno>

#include "bindings.h"

namespace shoal {
namespace {

// setSendBuffer(descriptor: number, bytes: number): void
void SetSendBuffer(const Napi::CallbackInfo& info) {
  const int descriptor = info[0].As<Napi::Number>().Int32Value();
  const int bytes = info[1].As<Napi::Number>().Int32Value();
  if (setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) != 0) {
    throw SystemError(info.Env(), SystemFailure{"setsockopt", errno});
  }
}

}  // namespace

void BindSockets(Napi::Env env, Napi::Object exports) {
  exports["setSendBuffer"] = Napi::Function::New(env, SetSendBuffer, "setSendBuffer");
}

}  // namespace shoal
