#include "io_engine.h"

#include <cerrno>

namespace shoal {

std::optional<int> IoRequest::Advance(int64_t result) {
  if (result == -EINTR) return std::nullopt;
  if (result < 0) return static_cast<int>(-result);
  // O_DIRECT goes on from whole blocks only: what a short transfer did of the next block is done again.
  const size_t before = done;
  done += static_cast<size_t>(result) / kBlockAlignment * kBlockAlignment;
  if (done >= length) return 0;
  if (done > before) return std::nullopt;
  // No progress: the file ends here (it was truncated), or its disk takes no more and doesn't say why.
  return write ? EIO : ENODATA;
}

}  // namespace shoal
