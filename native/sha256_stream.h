// One SHA-256 computed on the thread pool, from chunks that arrive on another thread.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "arena.h"
#include "completion_sink.h"
#include "sha256.h"
#include "thread_pool.h"

namespace shoal {

class Sha256Stream : public std::enable_shared_from_this<Sha256Stream> {
 public:
  Sha256Stream(ThreadPool& pool, std::shared_ptr<CompletionSink> sink) : pool_(pool), sink_(std::move(sink)) {}

  // The chunks are hashed in the order of the calls. The bytes must stay until the ticket is posted or Abandon returns;
  // those of an arena do by themselves.
  void Update(const uint8_t* data, size_t length, uint32_t ticket);

  // Ends the hash: `digest` may be read once the ticket is posted.
  void Finish(uint32_t ticket);
  const std::array<uint8_t, 32>& digest() const { return digest_; }

  // Forgets the chunks that wait and returns when none is being read. Their tickets are not posted.
  void Abandon();

 private:
  struct Job {
    const uint8_t* data;
    size_t length;
    uint32_t ticket;
    bool last;
    std::shared_ptr<Mapping> memory;
  };

  void Enqueue(Job job);
  void RunOne();

  ThreadPool& pool_;
  const std::shared_ptr<CompletionSink> sink_;
  std::mutex mutex_;
  std::condition_variable paused_;
  std::deque<Job> jobs_;
  bool scheduled_ = false;
  bool hashing_ = false;
  // Touched by the one thread that hashes.
  Sha256 hash_;
  std::array<uint8_t, 32> digest_{};
};

}  // namespace shoal
