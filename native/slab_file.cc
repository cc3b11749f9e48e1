#include "slab_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "arena.h"
#include "system_failure.h"

namespace shoal {
namespace {

// Some file systems take the flag and then refuse the transfers.
bool RefusesDirectReads(int descriptor) {
  alignas(kBlockAlignment) uint8_t block[kBlockAlignment];
  return pread(descriptor, block, sizeof block, 0) < 0 && errno == EINVAL;
}

int Allocate(int descriptor, uint64_t length) {
  int result;
  do {
    result = fallocate(descriptor, 0, 0, static_cast<off_t>(length));
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

}  // namespace

SlabFile::SlabFile(const std::string& path, uint64_t capacity, bool read_only) {
  const bool created = !read_only && access(path.c_str(), F_OK) != 0;
  try {
    Open(path, read_only ? O_RDONLY : O_RDWR | O_CREAT);
    // Not fstat: as a symbol that can be linked to, it is in glibc 2.33 and later only.
    struct statx now;
    if (statx(descriptor_, "", AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE, &now) != 0) throw SystemFailure{"statx", errno};
    // A device or a pipe has no size to take and may block.
    if (!S_ISREG(now.stx_mode)) throw SystemFailure{"open", EINVAL};
    const uint64_t size = now.stx_size;
    if (!read_only) Preallocate(path, capacity, size, created);
    capacity_ = read_only ? size / kBlockAlignment * kBlockAlignment : capacity;
  } catch (...) {
    if (descriptor_ >= 0) close(descriptor_);
    throw;
  }
}

SlabFile::~SlabFile() { close(descriptor_); }

void SlabFile::Open(const std::string& path, int flags) {
  // O_NONBLOCK means nothing to a file, and keeps a pipe in its place from blocking the open.
  flags |= O_CLOEXEC | O_NONBLOCK;
  constexpr mode_t kOwnerOnly = 0600;
  descriptor_ = open(path.c_str(), flags | O_DIRECT, kOwnerOnly);
  direct_ = descriptor_ >= 0 && !RefusesDirectReads(descriptor_);
  if (direct_) return;
  if (descriptor_ >= 0) {
    close(descriptor_);
  } else if (errno != EINVAL) {
    throw SystemFailure{"open", errno};
  }
  descriptor_ = open(path.c_str(), flags, kOwnerOnly);
  if (descriptor_ < 0) throw SystemFailure{"open", errno};
}

void SlabFile::Preallocate(const std::string& path, uint64_t capacity, uint64_t size, bool created) {
  const char* syscall = "fallocate";
  int error = Allocate(descriptor_, capacity);
  if (error == EOPNOTSUPP || error == ENOSYS) {
    // The space is then taken as it is written, and a full disk shows as ENOSPC of a write.
    syscall = "ftruncate";
    error = size >= capacity || ftruncate(descriptor_, static_cast<off_t>(capacity)) == 0 ? 0 : errno;
  }
  if (error == 0) return;
  // A failed fallocate may have taken a part, which would keep the disk full.
  if (created) {
    unlink(path.c_str());
  } else if (ftruncate(descriptor_, static_cast<off_t>(size)) != 0) {
    throw SystemFailure{"ftruncate", errno};
  }
  throw SystemFailure{syscall, error};
}

}  // namespace shoal
