// Both engines against a file in memory, with the faults that a real disk hardly shows: they are put between the engine
// and the system's calls.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>

#include "../aio_engine.h"
#include "../pool_engine.h"
#include "../system_failure.h"
#include "check.h"

namespace shoal::test {
namespace {

constexpr size_t kBlocks = 256;
constexpr size_t kBlock = kBlockAlignment;

// What the calls do before they do what they are for.
struct Faults {
  std::atomic<int> eagain{0};       // io_submit refuses that many times
  std::atomic<int> interrupts{0};   // EINTR that many times
  std::atomic<bool> shorten{false}; // transfers end after one block, or in the middle of one
  std::atomic<int> error{0};        // transfers fail
  std::atomic<int> refuse{0};       // io_submit refuses the first of a batch for good, that many times
} faults;

bool TakeOne(std::atomic<int>& left) {
  int now = left;
  while (now > 0) {
    if (left.compare_exchange_weak(now, now - 1)) return true;
  }
  return false;
}

int64_t Distort(int64_t result) {
  if (TakeOne(faults.interrupts)) return -EINTR;
  if (faults.error != 0) return -faults.error;
  if (faults.shorten && result > static_cast<int64_t>(kBlock)) return kBlock + (result % 3) * 512;
  return result;
}

AioLibrary real_library;

int FaultySubmit(aio_context_t context, long count, iocb** requests) {
  if (TakeOne(faults.eagain)) return -EAGAIN;
  if (TakeOne(faults.refuse)) return -EINVAL;
  // A part of the batch only, as the kernel may.
  return real_library.submit(context, (count + 1) / 2, requests);
}

int FaultyGetEvents(aio_context_t context, long min, long max, io_event* events, timespec* timeout) {
  if (TakeOne(faults.interrupts)) return -EINTR;
  const int count = real_library.get_events(context, min, max, events, timeout);
  for (int i = 0; i < count; ++i) events[i].res = Distort(events[i].res);
  return count;
}

ssize_t ToReturn(int64_t result) {
  if (result >= 0) return result;
  errno = static_cast<int>(-result);
  return -1;
}

ssize_t FaultyRead(int file, const iovec* parts, int count, off_t offset) {
  const ssize_t result = preadv(file, parts, count, offset);
  return ToReturn(Distort(result < 0 ? -errno : result));
}

ssize_t FaultyWrite(int file, const iovec* parts, int count, off_t offset) {
  const ssize_t result = pwritev(file, parts, count, offset);
  return ToReturn(Distort(result < 0 ? -errno : result));
}

using MakeEngine = std::function<std::unique_ptr<IoEngine>(int file, size_t depth, std::shared_ptr<CompletionSink>)>;

std::unique_ptr<IoEngine> MakeAio(int file, size_t depth, std::shared_ptr<CompletionSink> sink) {
  const AioLibrary faulty{real_library.setup, real_library.destroy, FaultySubmit, FaultyGetEvents};
  return std::make_unique<AioEngine>(faulty, file, depth, std::move(sink));
}

std::unique_ptr<IoEngine> MakePool(int file, size_t depth, std::shared_ptr<CompletionSink> sink) {
  return std::make_unique<PoolEngine>(FileCalls{FaultyRead, FaultyWrite}, file, depth, std::move(sink));
}

struct Fixture {
  Fixture(const MakeEngine& make, size_t depth) : file(memfd_create("slab", MFD_CLOEXEC)) {
    CHECK(ftruncate(file, kBlocks * kBlock) == 0);
    memory = Mapping::Create(2 * kBlocks * kBlock, false);
    collector = std::make_shared<Collector>();
    engine = make(file, depth, collector);
  }
  ~Fixture() {
    engine.reset();
    close(file);
  }

  void Submit(bool write, size_t memory_block, size_t file_block, size_t blocks, uint32_t ticket) {
    engine->Submit(IoRequest{write, memory->data() + memory_block * kBlock, blocks * kBlock, file_block * kBlock, ticket,
                             memory});
  }

  // Writes every block, alone and in pairs, reads them back and compares.
  void RoundTrip() {
    const std::vector<uint8_t> bytes = Bytes(kBlocks * kBlock, 9);
    std::memcpy(memory->data(), bytes.data(), bytes.size());
    constexpr size_t kStep = 4;
    for (const bool write : {true, false}) {
      const size_t base = write ? 0 : kBlocks;
      uint32_t ticket = 0;
      for (size_t block = 0; block < kBlocks; block += kStep) Submit(write, base + block, block, kStep, ticket++);
      for (const auto& [number, error] : collector->Wait(kBlocks / kStep)) CHECK(number < ticket && error == 0);
    }
    CHECK(std::memcmp(memory->data() + kBlocks * kBlock, bytes.data(), bytes.size()) == 0);
    CHECK(engine->load().in_flight == 0 && engine->load().queued == 0);
  }

  int file;
  std::shared_ptr<Mapping> memory;
  std::shared_ptr<Collector> collector;
  std::unique_ptr<IoEngine> engine;
};

void RoundTrips(const MakeEngine& make) {
  for (const size_t depth : {1, 3, 64}) Fixture(make, depth).RoundTrip();
}

void ContinuesShortTransfers(const MakeEngine& make) {
  faults.shorten = true;
  Fixture(make, 8).RoundTrip();
  faults.shorten = false;
}

void OutlastsInterruptsAndRefusals(const MakeEngine& make) {
  faults.interrupts = 50;
  faults.eagain = 30;
  Fixture(make, 8).RoundTrip();
  faults.interrupts = 0;
  faults.eagain = 0;
}

void ReportsErrors(const MakeEngine& make) {
  Fixture fixture(make, 4);
  for (const int error : {EIO, ENOSPC}) {
    faults.error = error;
    for (uint32_t i = 0; i < 20; ++i) fixture.Submit(true, i, i, 1, i);
    for (const auto& [ticket, seen] : fixture.collector->Wait(20)) CHECK(ticket < 20 && seen == error);
    faults.error = 0;
  }
  fixture.RoundTrip();
}

void ReportsTheEndOfTheFile(const MakeEngine& make) {
  Fixture fixture(make, 4);
  CHECK(ftruncate(fixture.file, kBlock + 100) == 0);
  fixture.Submit(false, 0, 0, 4, 1);
  CHECK(fixture.collector->Wait(1).at(1) == ENODATA);
}

// What is in flight ends, what waits is dropped, and nothing comes afterwards.
void EndsInTheMiddleOfRequests(const MakeEngine& make) {
  for (uint32_t round = 0; round < 100; ++round) {
    Fixture fixture(make, 4);
    for (uint32_t i = 0; i < 64; ++i) fixture.Submit(i % 2 == 0, i, i, 1, i);
    fixture.memory.reset();
    fixture.engine.reset();
    CHECK(fixture.collector->count() <= 64);
  }
}

void RefusedRequestsEndAlone() {
  faults.refuse = 3;
  Fixture fixture(MakeAio, 1);
  for (uint32_t i = 0; i < 10; ++i) fixture.Submit(true, i, i, 1, i);
  int refused = 0;
  for (const auto& [ticket, error] : fixture.collector->Wait(10)) {
    CHECK(ticket < 10 && (error == 0 || error == EINVAL));
    if (error == EINVAL) ++refused;
  }
  CHECK(refused == 3);
}

void SaysWhyThereIsNoLibrary() {
  std::string reason;
  CHECK(!LoadAioLibrary({"libnowhere.so.1", "libc.so.6"}, &reason));
  CHECK(reason.find("libnowhere.so.1") != std::string::npos);
  CHECK(reason.find("io_setup") != std::string::npos);
}

void SaysWhenTheKernelHasNoRoom() {
  const auto refuse = [](int, aio_context_t*) { return -EAGAIN; };
  const AioLibrary full{refuse, real_library.destroy, real_library.submit, real_library.get_events};
  bool refused = false;
  try {
    AioEngine(full, 0, 4, std::make_shared<Collector>());
  } catch (const SystemFailure& failure) {
    refused = failure.error == EAGAIN && std::strcmp(failure.syscall, "io_setup") == 0;
  }
  CHECK(refused);
}

}  // namespace

void TestEngines() {
  std::string reason;
  const std::optional<AioLibrary> library = LoadAioLibrary(kAioLibraryNames, &reason);
  CHECK(library);
  real_library = *library;
  for (const MakeEngine& make : {MakeEngine(MakeAio), MakeEngine(MakePool)}) {
    RoundTrips(make);
    ContinuesShortTransfers(make);
    OutlastsInterruptsAndRefusals(make);
    ReportsErrors(make);
    ReportsTheEndOfTheFile(make);
    EndsInTheMiddleOfRequests(make);
  }
  RefusedRequestsEndAlone();
  SaysWhyThereIsNoLibrary();
  SaysWhenTheKernelHasNoRoom();
}

}  // namespace shoal::test
