#include <cstring>
#include <string>

#include "../crc32c.h"
#include "../sha256.h"
#include "../sha256_stream.h"
#include "check.h"

namespace shoal::test {
namespace {

std::array<uint8_t, 32> Hash(Sha256Compress compress, const std::vector<uint8_t>& bytes, size_t chunk) {
  Sha256 hash(compress);
  for (size_t at = 0; at < bytes.size(); at += chunk) hash.Update(&bytes[at], std::min(chunk, bytes.size() - at));
  return hash.Digest();
}

void Crc32cAgreesInEveryWay() {
  const auto* check = reinterpret_cast<const uint8_t*>("123456789");
  CHECK(Crc32c(0, check, 9) == 0xe3069283);
  CHECK(Crc32cPortable(0, check, 9) == 0xe3069283);
  const std::vector<uint8_t> bytes = Bytes(40000, 1);
  for (size_t length = 0; length < bytes.size() - 16; length += 1 + length / 3) {
    for (size_t at = 0; at < 9; ++at) {
      const uint32_t crc = Crc32c(0, &bytes[at], length);
      CHECK(crc == Crc32cPortable(0, &bytes[at], length));
      CHECK(crc == Crc32c(Crc32c(0, &bytes[at], length / 2), &bytes[at + length / 2], length - length / 2));
    }
  }
}

void Sha256AgreesInEveryWay() {
  // FIPS 180-2, B.3: a million times "a".
  const std::array<uint8_t, 32> expected{0xcd, 0xc7, 0x6e, 0x5c, 0x99, 0x14, 0xfb, 0x92, 0x81, 0xa1, 0xc7,
                                         0xe2, 0x84, 0xd7, 0x3e, 0x67, 0xf1, 0x80, 0x9a, 0x48, 0xa4, 0x97,
                                         0x20, 0x0e, 0x04, 0x6d, 0x39, 0xcc, 0xc7, 0x11, 0x2c, 0xd0};
  const std::vector<uint8_t> million(1000000, 'a');
  CHECK(Hash(Sha256Best(), million, 997) == expected);
  CHECK(Hash(Sha256Portable, million, 65536) == expected);
  for (size_t length = 0; length < 300; ++length) {
    const std::vector<uint8_t> bytes = Bytes(length, length);
    const std::array<uint8_t, 32> digest = Hash(Sha256Portable, bytes, 1000);
    for (const size_t chunk : {1, 63, 64, 65, 128}) CHECK(Hash(Sha256Best(), bytes, chunk) == digest);
  }
}

void StreamsHashInOrderSideBySide() {
  constexpr uint32_t kStreams = 8, kChunks = 50;
  ThreadPool pool("test-hash", 4);
  const auto collector = std::make_shared<Collector>();
  const std::vector<uint8_t> bytes = Bytes(kChunks * 1000, 3);
  std::vector<std::shared_ptr<Sha256Stream>> streams;
  for (uint32_t i = 0; i < kStreams; ++i) streams.push_back(std::make_shared<Sha256Stream>(pool, collector));
  for (uint32_t chunk = 0; chunk < kChunks; ++chunk) {
    for (uint32_t i = 0; i < kStreams; ++i) {
      streams[i]->Update(&bytes[size_t{chunk} * 1000], 1000, chunk * kStreams + i);
    }
  }
  for (uint32_t i = 0; i < kStreams; ++i) streams[i]->Finish(kChunks * kStreams + i);
  collector->Wait((kChunks + 1) * kStreams);
  for (const auto& stream : streams) CHECK(stream->digest() == Hash(Sha256Portable, bytes, bytes.size()));
}

// The bytes are freed as soon as Abandon returns: a sanitizer would see a late look at them.
void AnAbandonedStreamReadsNoMore() {
  ThreadPool pool("test-hash", 2);
  const auto collector = std::make_shared<Collector>();
  for (uint32_t round = 0; round < 200; ++round) {
    auto bytes = std::make_unique<std::vector<uint8_t>>(Bytes(20000, round));
    auto stream = std::make_shared<Sha256Stream>(pool, collector);
    for (uint32_t i = 0; i < 10; ++i) stream->Update(bytes->data(), bytes->size(), round * 10 + i);
    stream->Abandon();
    bytes.reset();
    const size_t before = collector->count();
    stream.reset();
    CHECK(collector->count() == before);
  }
}

}  // namespace

void TestChecksums() {
  Crc32cAgreesInEveryWay();
  Sha256AgreesInEveryWay();
  StreamsHashInOrderSideBySide();
  AnAbandonedStreamReadsNoMore();
}

}  // namespace shoal::test
