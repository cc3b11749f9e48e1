// Where threads report what is done.
#pragma once

#include <cstdint>

namespace shoal {

class CompletionSink {
 public:
  virtual ~CompletionSink() = default;

  // May be called from any thread. `ticket` names the request to whoever made it; `error` is an errno, or 0.
  virtual void Post(uint32_t ticket, int error) = 0;
};

}  // namespace shoal
