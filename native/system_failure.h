// A system call that failed.
#pragma once

namespace shoal {

struct SystemFailure {
  const char* syscall;
  int error;  // errno
};

}  // namespace shoal
