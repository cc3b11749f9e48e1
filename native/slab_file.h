// The slab file: opened, and its disk space taken, before anything is written.
#pragma once

#include <cstdint>
#include <string>

namespace shoal {

class SlabFile {
 public:
  // Creates the file (mode 0600) where there is none, and takes `capacity` bytes of disk space for it without changing
  // what is in it; a longer file stays as long as it is. Read-only: the file that is there, of its own size, rounded
  // down to blocks. Throws SystemFailure: ENOSPC when the disk is too small, which leaves the file as it was.
  SlabFile(const std::string& path, uint64_t capacity, bool read_only);
  ~SlabFile();
  SlabFile(const SlabFile&) = delete;
  SlabFile& operator=(const SlabFile&) = delete;

  int descriptor() const { return descriptor_; }
  uint64_t capacity() const { return capacity_; }
  // False where the file system refused O_DIRECT.
  bool direct() const { return direct_; }

 private:
  void Open(const std::string& path, int flags);
  void Preallocate(const std::string& path, uint64_t capacity, uint64_t size, bool created);

  int descriptor_ = -1;
  uint64_t capacity_ = 0;
  bool direct_ = true;
};

}  // namespace shoal
