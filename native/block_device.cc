#include "block_device.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "aio_engine.h"
#include "pool_engine.h"
#include "system_failure.h"

namespace shoal {

BlockDevice::BlockDevice(const BlockDeviceOptions& options, std::shared_ptr<CompletionSink> sink)
    : file_(options.path, options.capacity, options.read_only) {
  if (options.aio) {
    if (StartAio(options.depth, sink)) return;
  } else {
    engine_reason_ = "aio is 0";
  }
  engine_name_ = "pool";
  engine_ = std::make_unique<PoolEngine>(kSystemFileCalls, file_.descriptor(), options.depth, std::move(sink));
}

bool BlockDevice::StartAio(size_t depth, const std::shared_ptr<CompletionSink>& sink) {
  if (!file_.direct()) {
    engine_reason_ = "the file system refuses O_DIRECT, without which libaio does one request at a time";
    return false;
  }
  const std::optional<AioLibrary> library = LoadAioLibrary(kAioLibraryNames, &engine_reason_);
  if (!library) return false;
  try {
    engine_ = std::make_unique<AioEngine>(*library, file_.descriptor(), depth, sink);
  } catch (const SystemFailure& failure) {
    engine_reason_ = std::string(failure.syscall) + ": " + std::strerror(failure.error);
    if (failure.error == EAGAIN) engine_reason_ += " (fs.aio-max-nr is used up)";
    return false;
  }
  engine_name_ = "libaio";
  engine_reason_ = "aio is 1";
  return true;
}

int BlockDevice::Sync() {
  int result;
  do {
    result = fdatasync(file_.descriptor());
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

}  // namespace shoal
