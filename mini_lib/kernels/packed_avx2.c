/* x86 with AVX2: products of bytes, two neighbours added to 16 bits, are one instruction; from 16 to 32 bits another.
   A lane of 16 bits sums two products of at most 15 * 128 per step of 4 columns: 30,720 after 32 columns. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>
#define INTRINSICS
#define PARTIAL_COLUMNS 32
typedef int8_t activation;
typedef uint32_t word __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t sums __attribute__((vector_size(32), aligned(4), may_alias));
typedef float floats __attribute__((vector_size(32), aligned(4), may_alias));
typedef __m256i partial;
#define FLOATS(s) __builtin_convertvector(s, floats)
#define FLOATS_OF_HALVES(from) ((floats)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from))))
static inline partial dot(partial t, word bytes, const activation *a) {
    int32_t four;
    memcpy(&four, a, 4);
    return _mm256_add_epi16(t, _mm256_maddubs_epi16((__m256i)bytes, _mm256_set1_epi32(four)));
}
static inline sums widen(partial t) { return (sums)_mm256_madd_epi16(t, _mm256_set1_epi16(1)); }
