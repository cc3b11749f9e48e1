#include "pool_engine.h"

#include <algorithm>
#include <cerrno>

namespace shoal {

const FileCalls kSystemFileCalls{preadv, pwritev};

PoolEngine::PoolEngine(const FileCalls& calls, int file, size_t depth, std::shared_ptr<CompletionSink> sink)
    : calls_(calls), file_(file), sink_(std::move(sink)), pool_("shoal-disk", std::min(depth, kMaxThreads)) {}

void PoolEngine::Submit(IoRequest request) {
  pool_.Post([this, request = std::move(request)]() mutable { Transfer(request); });
  ++submitted_;
}

IoEngine::Load PoolEngine::load() {
  // `finished` first: it only grows, and must not overtake what is subtracted from.
  const size_t finished = finished_;
  const size_t started = started_;
  return Load{started - finished, submitted_ - started};
}

void PoolEngine::Transfer(IoRequest& request) {
  ++started_;
  std::optional<int> ended;
  while (!ended) {
    const iovec rest{request.data + request.done, request.length - request.done};
    const off_t offset = static_cast<off_t>(request.offset + request.done);
    const ssize_t result =
        request.write ? calls_.pwritev(file_, &rest, 1, offset) : calls_.preadv(file_, &rest, 1, offset);
    ended = request.Advance(result < 0 ? -errno : result);
  }
  request.memory.reset();
  ++finished_;
  sink_->Post(request.ticket, *ended);
}

}  // namespace shoal
