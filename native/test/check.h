// The little that the tests of the addon's pure parts need.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "../completion_sink.h"

namespace shoal::test {

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);  \
      std::exit(1);                                                                 \
    }                                                                               \
  } while (false)

// Collects completions, and waits for them.
class Collector final : public CompletionSink {
 public:
  void Post(uint32_t ticket, int error) override {
    std::lock_guard<std::mutex> lock(mutex_);
    CHECK(errors_.emplace(ticket, error).second);
    posted_.notify_all();
  }

  // By ticket, when there are `count`.
  std::map<uint32_t, int> Wait(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    posted_.wait(lock, [&] { return errors_.size() >= count; });
    CHECK(errors_.size() == count);
    return std::exchange(errors_, {});
  }

  size_t count() {
    std::lock_guard<std::mutex> lock(mutex_);
    return errors_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable posted_;
  std::map<uint32_t, int> errors_;
};

// The same bytes in every run.
inline std::vector<uint8_t> Bytes(size_t length, uint64_t seed) {
  std::vector<uint8_t> bytes(length);
  uint64_t state = seed * 2 + 1;
  for (uint8_t& byte : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<uint8_t>(state >> 56);
  }
  return bytes;
}

void TestArena();
void TestChecksums();
void TestEngines();

}  // namespace shoal::test
