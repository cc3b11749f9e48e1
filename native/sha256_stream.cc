#include "sha256_stream.h"

namespace shoal {

void Sha256Stream::Update(const uint8_t* data, size_t length, uint32_t ticket) {
  Enqueue(Job{data, length, ticket, false, Mapping::Find(data, length)});
}

void Sha256Stream::Finish(uint32_t ticket) { Enqueue(Job{nullptr, 0, ticket, true, nullptr}); }

void Sha256Stream::Enqueue(Job job) {
  std::lock_guard<std::mutex> lock(mutex_);
  // At most one task a stream keeps the order; one chunk a task keeps a long blob from holding up the others.
  if (!scheduled_) {
    pool_.Post([self = shared_from_this()] { self->RunOne(); });
    scheduled_ = true;
  }
  jobs_.push_back(std::move(job));
}

void Sha256Stream::RunOne() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (jobs_.empty()) {
    scheduled_ = false;
    return;
  }
  const Job job = std::move(jobs_.front());
  jobs_.pop_front();
  hashing_ = true;
  lock.unlock();

  if (job.last) {
    digest_ = hash_.Digest();
  } else {
    hash_.Update(job.data, job.length);
  }

  lock.lock();
  hashing_ = false;
  paused_.notify_all();
  // Still under the lock, so that nothing is posted once Abandon has returned.
  sink_->Post(job.ticket, 0);
  scheduled_ = !jobs_.empty();
  if (scheduled_) pool_.Post([self = shared_from_this()] { self->RunOne(); });
}

void Sha256Stream::Abandon() {
  std::unique_lock<std::mutex> lock(mutex_);
  jobs_.clear();
  paused_.wait(lock, [this] { return !hashing_; });
}

}  // namespace shoal
