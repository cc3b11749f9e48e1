// SHA-256 (FIPS 180-4), incremental.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace shoal {

constexpr size_t kSha256Block = 64;

// Folds whole blocks into the eight words of state.
using Sha256Compress = void (*)(uint32_t* state, const uint8_t* data, size_t blocks);

// The fastest that this processor can run.
Sha256Compress Sha256Best();

// Runs on every processor.
void Sha256Portable(uint32_t* state, const uint8_t* data, size_t blocks);

class Sha256 {
 public:
  explicit Sha256(Sha256Compress compress = Sha256Best()) : compress_(compress) {}

  void Update(const uint8_t* data, size_t length);

  // Ends the hash.
  std::array<uint8_t, 32> Digest();

 private:
  const Sha256Compress compress_;
  // FIPS 180-4, 5.3.3.
  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, kSha256Block> partial_{};
  uint64_t length_ = 0;
};

}  // namespace shoal
