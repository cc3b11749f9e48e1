// A pool of threads with preadv and pwritev: where libaio is missing, switched off or of no use.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <atomic>
#include <memory>

#include "completion_sink.h"
#include "io_engine.h"
#include "thread_pool.h"

namespace shoal {

// The two system calls, for tests to put faults in their place.
struct FileCalls {
  ssize_t (*preadv)(int file, const iovec* parts, int count, off_t offset);
  ssize_t (*pwritev)(int file, const iovec* parts, int count, off_t offset);
};

extern const FileCalls kSystemFileCalls;

class PoolEngine final : public IoEngine {
 public:
  // One thread a request in flight, at most kMaxThreads.
  static constexpr size_t kMaxThreads = 64;

  PoolEngine(const FileCalls& calls, int file, size_t depth, std::shared_ptr<CompletionSink> sink);

  void Submit(IoRequest request) override;
  Load load() override;

 private:
  void Transfer(IoRequest& request);

  const FileCalls calls_;
  const int file_;
  const std::shared_ptr<CompletionSink> sink_;
  size_t submitted_ = 0;  // touched by the thread that submits
  std::atomic<size_t> started_{0};
  std::atomic<size_t> finished_{0};
  // Last, so that its threads end before what they use.
  ThreadPool pool_;
};

}  // namespace shoal
