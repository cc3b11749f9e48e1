// libaio, found at run time: nodes without it work too, and its soname differs between distributions.
#pragma once

#include <linux/aio_abi.h>

#include <ctime>
#include <optional>
#include <string>
#include <vector>

namespace shoal {

// The calls that are needed, with the kernel's own structures, which are libaio's. They return a negative errno.
struct AioLibrary {
  int (*setup)(int max_events, aio_context_t* context);
  int (*destroy)(aio_context_t context);
  int (*submit)(aio_context_t context, long count, iocb** requests);
  int (*get_events)(aio_context_t context, long min, long max, io_event* events, timespec* timeout);
};

// `libaio.so.1`, and the name since Debian 13 and Ubuntu 24.04.
extern const std::vector<std::string> kAioLibraryNames;

// The first of `names` that loads and has the calls. Otherwise nothing, and `reason` says why. Stays loaded.
std::optional<AioLibrary> LoadAioLibrary(const std::vector<std::string>& names, std::string* reason);

}  // namespace shoal
