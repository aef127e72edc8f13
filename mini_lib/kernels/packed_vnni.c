/* x86 with VNNI: four products of a byte and a signed byte, added to a lane of 32 bits, are one instruction. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>
#define INTRINSICS
#define WHOLE_BYTES 1
#define PARTIAL_COLUMNS (1 << 30) /* sums of 32 bits from the start */
typedef int8_t activation;
#ifdef __AVX512VNNI__
#define BYTES 64
#define ADD_DOT _mm512_dpbusd_epi32
#define BROADCAST _mm512_set1_epi32
#define FLOATS_OF_HALVES(from) ((floats)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(from))))
typedef __m512i lanes;
#else
#define BYTES 32
#define ADD_DOT _mm256_dpbusd_avx_epi32
#define BROADCAST _mm256_set1_epi32
#define FLOATS_OF_HALVES(from) ((floats)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from))))
typedef __m256i lanes;
#endif
typedef uint32_t word __attribute__((vector_size(BYTES), aligned(4), may_alias));
typedef int32_t sums __attribute__((vector_size(BYTES), aligned(4), may_alias));
typedef float floats __attribute__((vector_size(BYTES), aligned(4), may_alias));
typedef sums partial;
#define FLOATS(s) __builtin_convertvector(s, floats)
static inline partial dot(partial t, word bytes, const activation *a) {
    int32_t four;
    memcpy(&four, a, 4);
    return (partial)ADD_DOT((lanes)t, (lanes)bytes, BROADCAST(four));
}
static inline sums widen(partial t) { return t; }
