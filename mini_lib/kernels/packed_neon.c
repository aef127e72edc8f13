/* Arm with the dot product instructions: four products of signed bytes, added to a lane of 32 bits. Codes of 8 bits do
   not fit signed bytes, so they come as two planes of 4 bits. */
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>
#define INTRINSICS
#define PARTIAL_COLUMNS (1 << 30) /* sums of 32 bits from the start */
typedef int8_t activation;
typedef uint32_t word __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t sums __attribute__((vector_size(16), aligned(4), may_alias));
typedef float floats __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32x4_t partial;
#define FLOATS(s) __builtin_convertvector(s, floats)
static inline partial dot(partial t, word bytes, const activation *a) {
    int32_t four;
    memcpy(&four, a, 4);
    return vdotq_s32(t, (int8x16_t)bytes, (int8x16_t)vdupq_n_s32(four));
}
static inline sums widen(partial t) { return (sums)t; }
