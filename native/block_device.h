// The block device: a slab file and the engine that serves it.
#pragma once

#include <memory>
#include <string>

#include "completion_sink.h"
#include "io_engine.h"
#include "slab_file.h"

namespace shoal {

struct BlockDeviceOptions {
  std::string path;
  uint64_t capacity;
  bool aio;
  size_t depth;
  bool read_only;
};

class BlockDevice {
 public:
  // Opens and preallocates, which may take long: not for the event loop. Throws SystemFailure.
  BlockDevice(const BlockDeviceOptions& options, std::shared_ptr<CompletionSink> sink);

  // Blocks until the requests in flight have ended; those that wait are dropped without a completion.
  ~BlockDevice() = default;

  uint64_t capacity() const { return file_.capacity(); }
  bool direct() const { return file_.direct(); }
  const char* engine_name() const { return engine_name_; }
  const std::string& engine_reason() const { return engine_reason_; }

  IoEngine& engine() { return *engine_; }

  // fdatasync. Blocks. An errno, or 0.
  int Sync();

 private:
  bool StartAio(size_t depth, const std::shared_ptr<CompletionSink>& sink);

  SlabFile file_;
  const char* engine_name_;
  std::string engine_reason_;
  // Last: its requests end before the file is closed.
  std::unique_ptr<IoEngine> engine_;
};

}  // namespace shoal
