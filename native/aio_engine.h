// libaio: one thread submits in batches, sleeps, and reaps in batches.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "aio_library.h"
#include "completion_sink.h"
#include "io_engine.h"

namespace shoal {

class AioEngine final : public IoEngine {
 public:
  // At most `depth` requests are in flight. Throws SystemFailure, of io_setup for example when fs.aio-max-nr is used up.
  AioEngine(const AioLibrary& library, int file, size_t depth, std::shared_ptr<CompletionSink> sink);
  ~AioEngine() override;

  void Submit(IoRequest request) override;
  Load load() override;

 private:
  // The kernel holds the address of the iocb while the request is in flight.
  struct Slot {
    iocb control;
    IoRequest request;
  };

  void Run();
  bool TakeQueued();
  size_t BatchSize() const;
  void SubmitReady();
  void Reap();
  void Finish(Slot* slot, int64_t result);
  void Sleep();
  void Wake();

  const AioLibrary library_;
  const int file_;
  const std::shared_ptr<CompletionSink> sink_;
  aio_context_t context_ = 0;
  int event_ = -1;

  // Touched by the thread alone.
  std::vector<Slot> slots_;
  std::vector<Slot*> free_;
  std::vector<Slot*> ready_;  // to be submitted, in order
  std::vector<io_event> events_;

  std::mutex mutex_;
  std::deque<IoRequest> queued_;
  size_t in_flight_ = 0;  // taken from the queue and not finished
  bool sleeping_ = false;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace shoal
