#include "crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define SHOAL_CRC_TARGET __attribute__((target("sse4.2")))
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#define SHOAL_CRC_TARGET __attribute__((target("+crc")))
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the words are read in little-endian order"
#endif

namespace shoal {
namespace {

using Table = std::array<uint32_t, 256>;

constexpr uint32_t kPolynomial = 0x82f63b78;  // 0x1edc6f41, reflected

constexpr uint32_t ShiftByte(uint32_t crc) {
  for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kPolynomial : 0);
  return crc;
}

// slices[k][b]: the register after byte b and k zero bytes.
constexpr std::array<Table, 8> MakeSlices() {
  std::array<Table, 8> slices{};
  for (uint32_t byte = 0; byte < 256; ++byte) slices[0][byte] = ShiftByte(byte);
  for (size_t k = 1; k < 8; ++k) {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      slices[k][byte] = (slices[k - 1][byte] >> 8) ^ slices[0][slices[k - 1][byte] & 0xff];
    }
  }
  return slices;
}

constexpr std::array<Table, 8> kSlices = MakeSlices();

uint64_t LoadWord(const uint8_t* data) {
  uint64_t word;
  std::memcpy(&word, data, sizeof word);
  return word;
}

#if defined(SHOAL_CRC_TARGET)

// Advances a register over a fixed number of zero bytes, byte by byte of the register.
using ZeroShift = std::array<Table, 4>;

// Running the register over zeroes is linear over GF(2): the images of its 32 bits say everything, and applying the
// map to its own images doubles the distance.
constexpr ZeroShift MakeZeroShift(size_t bytes) {
  std::array<uint32_t, 32> images{};
  for (size_t bit = 0; bit < 32; ++bit) images[bit] = ShiftByte(uint32_t{1} << bit);
  for (size_t distance = 1; distance < bytes; distance *= 2) {
    std::array<uint32_t, 32> doubled{};
    for (size_t bit = 0; bit < 32; ++bit) {
      for (size_t from = 0; from < 32; ++from) {
        if ((images[bit] >> from) & 1) doubled[bit] ^= images[from];
      }
    }
    images = doubled;
  }
  ZeroShift shift{};
  for (size_t position = 0; position < 4; ++position) {
    for (size_t byte = 0; byte < 256; ++byte) {
      for (size_t bit = 0; bit < 8; ++bit) {
        if ((byte >> bit) & 1) shift[position][byte] ^= images[position * 8 + bit];
      }
    }
  }
  return shift;
}

uint32_t Apply(const ZeroShift& shift, uint32_t crc) {
  return shift[0][crc & 0xff] ^ shift[1][(crc >> 8) & 0xff] ^ shift[2][(crc >> 16) & 0xff] ^ shift[3][crc >> 24];
}

// Powers of two, as MakeZeroShift doubles. The long lane makes joining cheap, the short one serves the rest of a block.
constexpr size_t kLongLane = 4096;
constexpr size_t kShortLane = 256;
constexpr ZeroShift kLongShift = MakeZeroShift(kLongLane);
constexpr ZeroShift kShortShift = MakeZeroShift(kShortLane);

#if defined(__x86_64__)
bool HasInstruction() { return __builtin_cpu_supports("sse4.2"); }
SHOAL_CRC_TARGET inline uint32_t StepWord(uint32_t crc, uint64_t word) {
  return static_cast<uint32_t>(_mm_crc32_u64(crc, word));
}
SHOAL_CRC_TARGET inline uint32_t StepByte(uint32_t crc, uint8_t byte) { return _mm_crc32_u8(crc, byte); }
#else
bool HasInstruction() { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
SHOAL_CRC_TARGET inline uint32_t StepWord(uint32_t crc, uint64_t word) { return __crc32cd(crc, word); }
SHOAL_CRC_TARGET inline uint32_t StepByte(uint32_t crc, uint8_t byte) { return __crc32cb(crc, byte); }
#endif

// The instruction takes three cycles but starts anew in each: three lanes side by side keep it busy. The lanes'
// registers are then joined, each advanced over the bytes that follow it.
SHOAL_CRC_TARGET uint32_t ThreeLanes(uint32_t crc, const uint8_t*& data, size_t& length, size_t lane,
                                     const ZeroShift& shift) {
  while (length >= 3 * lane) {
    uint32_t second = 0;
    uint32_t third = 0;
    for (size_t at = 0; at < lane; at += 8) {
      crc = StepWord(crc, LoadWord(data + at));
      second = StepWord(second, LoadWord(data + lane + at));
      third = StepWord(third, LoadWord(data + 2 * lane + at));
    }
    crc = Apply(shift, Apply(shift, crc) ^ second) ^ third;
    data += 3 * lane;
    length -= 3 * lane;
  }
  return crc;
}

SHOAL_CRC_TARGET uint32_t Crc32cInstruction(uint32_t seed, const uint8_t* data, size_t length) {
  uint32_t crc = ~seed;
  crc = ThreeLanes(crc, data, length, kLongLane, kLongShift);
  crc = ThreeLanes(crc, data, length, kShortLane, kShortShift);
  for (; length >= 8; data += 8, length -= 8) crc = StepWord(crc, LoadWord(data));
  for (; length > 0; ++data, --length) crc = StepByte(crc, *data);
  return ~crc;
}

#endif  // SHOAL_CRC_TARGET

}  // namespace

uint32_t Crc32cPortable(uint32_t seed, const uint8_t* data, size_t length) {
  uint32_t crc = ~seed;
  for (; length >= 8; data += 8, length -= 8) {
    const uint64_t word = LoadWord(data) ^ crc;
    crc = 0;
    for (size_t byte = 0; byte < 8; ++byte) crc ^= kSlices[7 - byte][(word >> (8 * byte)) & 0xff];
  }
  for (; length > 0; ++data, --length) crc = (crc >> 8) ^ kSlices[0][(crc ^ *data) & 0xff];
  return ~crc;
}

uint32_t Crc32c(uint32_t seed, const uint8_t* data, size_t length) {
#if defined(SHOAL_CRC_TARGET)
  static const bool has_instruction = HasInstruction();
  if (has_instruction) return Crc32cInstruction(seed, data, length);
#endif
  return Crc32cPortable(seed, data, length);
}

}  // namespace shoal
