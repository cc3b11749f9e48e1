#include "../arena.h"

#include <cstring>
#include <thread>

#include "../system_failure.h"
#include "check.h"

namespace shoal::test {
namespace {

void FindsTheMappingOfAnAddress() {
  const std::shared_ptr<Mapping> mapping = Mapping::Create(4 * kBlockAlignment, true);
  uint8_t* const data = mapping->data();
  CHECK(reinterpret_cast<uintptr_t>(data) % kBlockAlignment == 0);
  CHECK(Mapping::Find(data, mapping->capacity()) == mapping);
  CHECK(Mapping::Find(data + 5, 10) == mapping);
  CHECK(Mapping::Find(data + 1, mapping->capacity()) == nullptr);
  CHECK(Mapping::Find(data, SIZE_MAX) == nullptr);
  uint8_t outside[16];
  CHECK(Mapping::Find(outside, sizeof outside) == nullptr);
}

void GivesDiscardedPagesBack() {
  const std::shared_ptr<Mapping> mapping = Mapping::Create(4 * kBlockAlignment, false);
  std::memset(mapping->data(), 7, mapping->capacity());
  CHECK(mapping->Discard(kBlockAlignment, kBlockAlignment) == 0);
  CHECK(mapping->data()[kBlockAlignment - 1] == 7);
  CHECK(mapping->data()[kBlockAlignment] == 0);
  CHECK(mapping->data()[2 * kBlockAlignment] == 7);
}

void SaysWhenThereIsNoAddressSpace() {
  bool refused = false;
  try {
    Mapping::Create(size_t{1} << 50, false);
  } catch (const SystemFailure& failure) {
    refused = failure.error == ENOMEM;
  }
  CHECK(refused);
}

// One thread drops mappings while others look them up: no lookup may revive or touch what is gone.
void IsFoundWhileOthersAreDropped() {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int round = 0; round < 500; ++round) {
        std::shared_ptr<Mapping> mapping = Mapping::Create(kBlockAlignment, false);
        uint8_t* const data = mapping->data();
        std::thread finder([data] {
          if (const std::shared_ptr<Mapping> found = Mapping::Find(data, 1)) CHECK(found->capacity() == kBlockAlignment);
        });
        mapping.reset();
        finder.join();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

void TestArena() {
  FindsTheMappingOfAnAddress();
  GivesDiscardedPagesBack();
  SaysWhenThereIsNoAddressSpace();
  IsFoundWhileOthersAreDropped();
}

}  // namespace shoal::test
