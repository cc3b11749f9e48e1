// What moves bytes between the slab file and memory: one interface, two engines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "arena.h"

namespace shoal {

struct IoRequest {
  bool write;
  uint8_t* data;
  size_t length;    // a multiple of kBlockAlignment, like the offset
  uint64_t offset;  // in the file
  uint32_t ticket;
  std::shared_ptr<Mapping> memory;  // holds `data`
  size_t done = 0;

  // Takes the result of one transfer, a count of bytes or a negative errno. Gives the errno, or 0, when the request has
  // ended, and nothing when the rest, from `done` on, must be asked for.
  std::optional<int> Advance(int64_t result);

  // Whether it goes on on the disk where `other` ends, and does the same.
  bool Follows(const IoRequest& other) const { return write == other.write && offset == other.offset + other.length; }
};

class IoEngine {
 public:
  struct Load {
    size_t in_flight;
    size_t queued;
  };

  // Drops the requests that wait, without a completion, and returns when none is in flight.
  virtual ~IoEngine() = default;

  // From one thread. Requests are started in the order of the calls; their tickets are posted to the engine's sink.
  virtual void Submit(IoRequest request) = 0;

  // From the thread that submits.
  virtual Load load() = 0;
};

}  // namespace shoal
