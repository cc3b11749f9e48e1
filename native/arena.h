// Memory that does not move: one anonymous mapping, shared by JavaScript's views and the requests in flight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace shoal {

// What O_DIRECT asks of addresses, offsets and lengths on every disk in use today; also the page size of madvise.
constexpr size_t kBlockAlignment = 4096;

// An anonymous private mapping. The system gives the pages when they are touched. Unmapped with the last reference.
class Mapping {
 public:
  // Throws SystemFailure when the address space cannot be had.
  static std::shared_ptr<Mapping> Create(size_t capacity, bool huge_pages);

  // The mapping that holds all of [data, data + length), if one does: how a request gets its own reference to the memory
  // behind a Buffer, whatever becomes of the Buffer.
  static std::shared_ptr<Mapping> Find(const uint8_t* data, size_t length);

  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  uint8_t* data() const { return data_; }
  size_t capacity() const { return capacity_; }

  // Gives pages back to the system; they are zero when touched again. Offset and length are multiples of
  // kBlockAlignment within the mapping. Returns an errno, or 0.
  int Discard(size_t offset, size_t length);

 private:
  Mapping(uint8_t* data, size_t capacity) : data_(data), capacity_(capacity) {}

  uint8_t* const data_;
  const size_t capacity_;
};

}  // namespace shoal
