// CRC32C (Castagnoli, RFC 3720 B.4): polynomial 0x1edc6f41, reflected, initial value and final xor all ones.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal {

// The CRC of what gave `seed` (0 at the start) followed by `data`. Uses the processor's instruction where there is one.
uint32_t Crc32c(uint32_t seed, const uint8_t* data, size_t length);

// The same without special instructions.
uint32_t Crc32cPortable(uint32_t seed, const uint8_t* data, size_t length);

}  // namespace shoal
