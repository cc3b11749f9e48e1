#include "aio_engine.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "system_failure.h"

namespace shoal {

// Of so many slots one may stay empty until the next completion.
constexpr size_t kSlotsPerSpare = 16;
// Requests of one io_submit.
constexpr size_t kLargestBatch = 64;

AioEngine::AioEngine(const AioLibrary& library, int file, size_t depth, std::shared_ptr<CompletionSink> sink)
    : library_(library), file_(file), sink_(std::move(sink)), slots_(depth), events_(depth) {
  for (Slot& slot : slots_) free_.push_back(&slot);
  ready_.reserve(depth);
  event_ = eventfd(0, EFD_CLOEXEC);
  if (event_ < 0) throw SystemFailure{"eventfd", errno};
  const int result = library_.setup(static_cast<int>(depth), &context_);
  if (result < 0) {
    close(event_);
    throw SystemFailure{"io_setup", -result};
  }
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error& error) {
    library_.destroy(context_);
    close(event_);
    throw SystemFailure{"pthread_create", error.code().value()};
  }
  pthread_setname_np(thread_.native_handle(), "shoal-aio");
}

AioEngine::~AioEngine() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    queued_.clear();
  }
  Wake();
  thread_.join();
  library_.destroy(context_);
  close(event_);
}

void AioEngine::Submit(IoRequest request) {
  bool wake;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    queued_.push_back(std::move(request));
    // Asleep with all slots taken, the thread can do nothing with it before a completion wakes it anyway. With nearly all of them, that
    // completion is near, too: one waking for both costs half.
    wake = sleeping_ && in_flight_ < slots_.size() - slots_.size() / kSlotsPerSpare;
    if (wake) sleeping_ = false;
  }
  if (wake) Wake();
}

IoEngine::Load AioEngine::load() {
  std::lock_guard<std::mutex> lock(mutex_);
  return Load{in_flight_, queued_.size()};
}

// Submitting here rather than on the event loop: io_submit may block, on a full device queue or on the file's metadata,
// and what JavaScript asks for in one turn becomes one batch by itself.
void AioEngine::Run() {
  while (TakeQueued()) {
    SubmitReady();
    Sleep();
    Reap();
  }
}

// Fills free slots from the queue. False when the engine stops and nothing is left to do.
bool AioEngine::TakeQueued() {
  std::lock_guard<std::mutex> lock(mutex_);
  sleeping_ = false;
  while (!free_.empty() && !queued_.empty()) {
    Slot* slot = free_.back();
    free_.pop_back();
    slot->request = std::move(queued_.front());
    queued_.pop_front();
    ready_.push_back(slot);
    ++in_flight_;
  }
  return !stopping_ || in_flight_ > 0;
}

// How many of the ready requests go in one call. The kernel plugs the device for more than two (AIO_PLUG_THRESHOLD in fs/aio.c), and
// while it is plugged neighbours become one request of up to max_sectors_kb: too few are then in flight to keep a fast disk
// busy (docs/store.md, measured).
size_t AioEngine::BatchSize() const {
  constexpr size_t kUnplugged = 2;
  const size_t count = std::min(ready_.size(), kLargestBatch);
  for (size_t i = 1; i < count; ++i) {
    if (ready_[i]->request.Follows(ready_[i - 1]->request)) return std::min(count, kUnplugged);
  }
  return count;
}

void AioEngine::SubmitReady() {
  iocb* batch[kLargestBatch];
  while (!ready_.empty()) {
    const size_t count = BatchSize();
    for (size_t i = 0; i < count; ++i) {
      const IoRequest& request = ready_[i]->request;
      iocb& control = ready_[i]->control;
      control = iocb{};
      control.aio_data = reinterpret_cast<uintptr_t>(ready_[i]);
      control.aio_lio_opcode = request.write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
      control.aio_fildes = static_cast<uint32_t>(file_);
      control.aio_buf = reinterpret_cast<uintptr_t>(request.data + request.done);
      control.aio_nbytes = request.length - request.done;
      control.aio_offset = static_cast<int64_t>(request.offset + request.done);
      control.aio_flags = IOCB_FLAG_RESFD;
      control.aio_resfd = static_cast<uint32_t>(event_);
      batch[i] = &control;
    }
    const int result = library_.submit(context_, static_cast<long>(count), batch);
    if (result == -EINTR) continue;
    // The kernel has no room now: the rest waits for completions, see Sleep.
    if (result == 0 || result == -EAGAIN) return;
    if (result > 0) {
      ready_.erase(ready_.begin(), ready_.begin() + result);
    } else {
      // The first of the batch is refused; the others may be right.
      Slot* refused = ready_.front();
      ready_.erase(ready_.begin());
      Finish(refused, result);
    }
  }
}

// Until a completion or a call of Submit.
void AioEngine::Sleep() {
  constexpr int kRetryMilliseconds = 1;
  bool completions_due;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const bool more_to_take = !queued_.empty() && !free_.empty();
    if (more_to_take || (stopping_ && in_flight_ == 0)) return;
    completions_due = in_flight_ > ready_.size();
    sleeping_ = true;
  }
  // What the kernel refused for lack of room is tried again even when no completion of ours will make any.
  if (!ready_.empty() && !completions_due) {
    pollfd event{event_, POLLIN, 0};
    if (poll(&event, 1, kRetryMilliseconds) <= 0) return;
  }
  uint64_t count;
  while (read(event_, &count, sizeof count) < 0 && errno == EINTR) continue;
}

void AioEngine::Reap() {
  timespec at_once{0, 0};
  int count;
  do {
    count = library_.get_events(context_, 0, static_cast<long>(events_.size()), events_.data(), &at_once);
  } while (count == -EINTR);
  for (int i = 0; i < count; ++i) {
    Finish(reinterpret_cast<Slot*>(static_cast<uintptr_t>(events_[static_cast<size_t>(i)].data)),
           events_[static_cast<size_t>(i)].res);
  }
}

void AioEngine::Finish(Slot* slot, int64_t result) {
  const std::optional<int> ended = slot->request.Advance(result);
  if (!ended) {
    ready_.push_back(slot);
    return;
  }
  const uint32_t ticket = slot->request.ticket;
  slot->request = IoRequest{};
  free_.push_back(slot);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    --in_flight_;
  }
  sink_->Post(ticket, *ended);
}

void AioEngine::Wake() {
  const uint64_t one = 1;
  while (write(event_, &one, sizeof one) < 0 && errno == EINTR) continue;
}

}  // namespace shoal
