#include "arena.h"

#include <sys/mman.h>

#include <cerrno>
#include <map>
#include <mutex>

#include "system_failure.h"

namespace shoal {
namespace {

// Every live mapping of the process by its address. Never destroyed: threads may outlive static destructors.
struct Registry {
  std::mutex mutex;
  std::map<const uint8_t*, std::weak_ptr<Mapping>> by_address;
};

Registry& TheRegistry() {
  static Registry* registry = new Registry;
  return *registry;
}

}  // namespace

std::shared_ptr<Mapping> Mapping::Create(size_t capacity, bool huge_pages) {
  void* data =
      mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) throw SystemFailure{"mmap", errno};

  // A fork while a disk read is in flight would have the bytes land in the child's copy of the page (open(2), O_DIRECT).
  madvise(data, capacity, MADV_DONTFORK);
  // A crash must not write gigabytes of cached layers into a core file.
  madvise(data, capacity, MADV_DONTDUMP);
  // All three are hints: a kernel without transparent huge pages refuses this one, and nothing is lost.
  if (huge_pages) madvise(data, capacity, MADV_HUGEPAGE);

  std::shared_ptr<Mapping> mapping(new Mapping(static_cast<uint8_t*>(data), capacity));
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  registry.by_address[mapping->data_] = mapping;
  return mapping;
}

std::shared_ptr<Mapping> Mapping::Find(const uint8_t* data, size_t length) {
  // Declared before the lock: should this become the last reference, the destructor takes the lock itself.
  std::shared_ptr<Mapping> mapping;
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  auto after = registry.by_address.upper_bound(data);
  if (after == registry.by_address.begin()) return nullptr;
  mapping = std::prev(after)->second.lock();
  if (!mapping) return nullptr;
  const size_t offset = static_cast<size_t>(data - mapping->data_);
  if (offset > mapping->capacity_ || length > mapping->capacity_ - offset) return nullptr;
  return mapping;
}

Mapping::~Mapping() {
  Registry& registry = TheRegistry();
  // Unmapped under the lock: the next mmap may return the same address, and its entry must not be the one erased.
  std::lock_guard<std::mutex> lock(registry.mutex);
  registry.by_address.erase(data_);
  munmap(data_, capacity_);
}

int Mapping::Discard(size_t offset, size_t length) {
  return madvise(data_ + offset, length, MADV_DONTNEED) == 0 ? 0 : errno;
}

}  // namespace shoal
