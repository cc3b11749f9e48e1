#include "sha256.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace shoal {
namespace {

// FIPS 180-4, 4.2.2.
alignas(16) constexpr uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t RotateRight(uint32_t word, int bits) { return (word >> bits) | (word << (32 - bits)); }

uint32_t LoadBigEndian(const uint8_t* data) {
  uint32_t word;
  std::memcpy(&word, data, sizeof word);
  return __builtin_bswap32(word);
}

#if defined(__x86_64__)

bool HasInstructions() {
  unsigned eax, ebx, ecx, edx;
  constexpr unsigned kShaExtensions = 1u << 29;
  return __builtin_cpu_supports("sse4.1") && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 &&
         (ebx & kShaExtensions) != 0;
}

__attribute__((target("sha,sse4.1,ssse3"))) void Sha256Instructions(uint32_t* state, const uint8_t* data,
                                                                    size_t blocks) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

  // The instructions keep the state as (a b e f) and (c d g h), from the highest word down.
  const __m128i dcba = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state));
  const __m128i hgfe = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4));
  const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
  const __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

  for (; blocks > 0; --blocks, data += kSha256Block) {
    const __m128i abef_before = abef;
    const __m128i cdgh_before = cdgh;
    // The last sixteen words of the message schedule, four a register.
    __m128i words[4];
#pragma GCC unroll 16
    for (size_t quad = 0; quad < 16; ++quad) {
      __m128i& current = words[quad % 4];
      if (quad < 4) {
        const __m128i loaded = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data) + quad);
        current = _mm_shuffle_epi8(loaded, big_endian);
      } else {
        const __m128i& last = words[(quad + 3) % 4];
        const __m128i seven_back = _mm_alignr_epi8(last, words[(quad + 2) % 4], 4);
        current = _mm_sha256msg1_epu32(current, words[(quad + 1) % 4]);
        current = _mm_sha256msg2_epu32(_mm_add_epi32(current, seven_back), last);
      }
      const __m128i constants = _mm_load_si128(reinterpret_cast<const __m128i*>(kRound) + quad);
      const __m128i sum = _mm_add_epi32(current, constants);
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }

  const __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

#elif defined(__aarch64__)

bool HasInstructions() { return (getauxval(AT_HWCAP) & HWCAP_SHA2) != 0; }

__attribute__((target("+crypto"))) void Sha256Instructions(uint32_t* state, const uint8_t* data, size_t blocks) {
  uint32x4_t abcd = vld1q_u32(state);
  uint32x4_t efgh = vld1q_u32(state + 4);

  for (; blocks > 0; --blocks, data += kSha256Block) {
    const uint32x4_t abcd_before = abcd;
    const uint32x4_t efgh_before = efgh;
    // The last sixteen words of the message schedule, four a register.
    uint32x4_t words[4];
#pragma GCC unroll 16
    for (size_t quad = 0; quad < 16; ++quad) {
      uint32x4_t& current = words[quad % 4];
      if (quad < 4) {
        current = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data + 16 * quad)));
      } else {
        current = vsha256su0q_u32(current, words[(quad + 1) % 4]);
        current = vsha256su1q_u32(current, words[(quad + 2) % 4], words[(quad + 3) % 4]);
      }
      const uint32x4_t sum = vaddq_u32(current, vld1q_u32(kRound + 4 * quad));
      const uint32x4_t abcd_now = abcd;
      abcd = vsha256hq_u32(abcd, efgh, sum);
      efgh = vsha256h2q_u32(efgh, abcd_now, sum);
    }
    abcd = vaddq_u32(abcd, abcd_before);
    efgh = vaddq_u32(efgh, efgh_before);
  }

  vst1q_u32(state, abcd);
  vst1q_u32(state + 4, efgh);
}

#endif

}  // namespace

void Sha256Portable(uint32_t* state, const uint8_t* data, size_t blocks) {
  for (; blocks > 0; --blocks, data += kSha256Block) {
    uint32_t schedule[64];
    for (size_t t = 0; t < 16; ++t) schedule[t] = LoadBigEndian(data + 4 * t);
    for (size_t t = 16; t < 64; ++t) {
      const uint32_t x = schedule[t - 15];
      const uint32_t y = schedule[t - 2];
      const uint32_t sigma0 = RotateRight(x, 7) ^ RotateRight(x, 18) ^ (x >> 3);
      const uint32_t sigma1 = RotateRight(y, 17) ^ RotateRight(y, 19) ^ (y >> 10);
      schedule[t] = sigma1 + schedule[t - 7] + sigma0 + schedule[t - 16];
    }

    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (size_t t = 0; t < 64; ++t) {
      const uint32_t sum1 = RotateRight(e, 6) ^ RotateRight(e, 11) ^ RotateRight(e, 25);
      const uint32_t choice = (e & f) ^ (~e & g);
      const uint32_t first = h + sum1 + choice + kRound[t] + schedule[t];
      const uint32_t sum0 = RotateRight(a, 2) ^ RotateRight(a, 13) ^ RotateRight(a, 22);
      const uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
      h = g, g = f, f = e, e = d + first;
      d = c, c = b, b = a, a = first + sum0 + majority;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
  }
}

Sha256Compress Sha256Best() {
#if defined(__x86_64__) || defined(__aarch64__)
  static const bool has_instructions = HasInstructions();
  if (has_instructions) return Sha256Instructions;
#endif
  return Sha256Portable;
}

void Sha256::Update(const uint8_t* data, size_t length) {
  const size_t held = length_ % kSha256Block;
  length_ += length;
  if (held > 0) {
    const size_t taken = std::min(length, kSha256Block - held);
    std::copy_n(data, taken, partial_.begin() + static_cast<std::ptrdiff_t>(held));
    if (held + taken < kSha256Block) return;
    compress_(state_.data(), partial_.data(), 1);
    data += taken;
    length -= taken;
  }
  const size_t blocks = length / kSha256Block;
  compress_(state_.data(), data, blocks);
  std::copy_n(data + blocks * kSha256Block, length % kSha256Block, partial_.begin());
}

std::array<uint8_t, 32> Sha256::Digest() {
  // FIPS 180-4, 5.1.1: a one bit, zeroes, and the length in bits as a big-endian 64-bit word, to the end of a block.
  std::array<uint8_t, 2 * kSha256Block> padding{0x80};
  const uint64_t bits = __builtin_bswap64(length_ * 8);
  const size_t held = length_ % kSha256Block;
  const size_t end = (held + 1 + sizeof bits > kSha256Block ? 2 : 1) * kSha256Block;
  std::memcpy(padding.data() + end - held - sizeof bits, &bits, sizeof bits);
  Update(padding.data(), end - held);

  std::array<uint8_t, 32> digest;
  for (size_t i = 0; i < state_.size(); ++i) {
    const uint32_t word = __builtin_bswap32(state_[i]);
    std::memcpy(digest.data() + 4 * i, &word, sizeof word);
  }
  return digest;
}

}  // namespace shoal
