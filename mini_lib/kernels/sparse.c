/* y = W x in fp32, on one thread: a kernel for a dense W, and one for each format that leaves out its zeros.

   Each is compiled by itself: a define of its name in capitals (-DCSR) chooses it, and the parameters that are listed
   above it are defines too (-DINDEX=uint16_t).

   Each kernel but the bitmap's in plain C keeps several sums side by side, since one sum must finish an addition before
   it begins the next. The lanes are written out as inner loops of fixed length, which the compiler turns into vectors.
   It may not do so by itself: that would change the order of the additions, and -ffast-math, which allows it, also gets
   NaN and denormals wrong.

   Two formats need something that C cannot express: values spread over a vector by the bits of a mask, and a shuffle
   that picks from a vector by position. Where the CPU has such an instruction (AVX-512, for 2:4 also AVX2), it is
   called by name; elsewhere plain C takes its place, and is slower. */

#include <stdint.h>
#include <string.h>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif
static inline float sum(const float *a, int n) {
    float s = 0;
    for (int i = 0; i < n; i++) s += a[i];
    return s;
}

#ifdef DENSE
/* Four rows at a time share each load of x. */
#define LANES 16
void dense(int64_t rows, int64_t columns, const float *restrict w, const float *restrict x, float *restrict y) {
    int64_t whole = columns / LANES * LANES, row = 0;
    for (; row + 4 <= rows; row += 4) {
        float a[4][LANES] = {{0}};
        const float *w0 = w + row * columns, *w1 = w0 + columns, *w2 = w1 + columns, *w3 = w2 + columns;
        for (int64_t c = 0; c < whole; c += LANES)
            for (int l = 0; l < LANES; l++) {
                a[0][l] += w0[c + l] * x[c + l];
                a[1][l] += w1[c + l] * x[c + l];
                a[2][l] += w2[c + l] * x[c + l];
                a[3][l] += w3[c + l] * x[c + l];
            }
        for (int i = 0; i < 4; i++) {
            float s = sum(a[i], LANES);
            for (int64_t c = whole; c < columns; c++) s += w0[i * columns + c] * x[c];
            y[row + i] = s;
        }
    }
    for (; row < rows; row++) {
        float a[LANES] = {0}, s;
        for (int64_t c = 0; c < whole; c += LANES)
            for (int l = 0; l < LANES; l++) a[l] += w[row * columns + c + l] * x[c + l];
        s = sum(a, LANES);
        for (int64_t c = whole; c < columns; c++) s += w[row * columns + c] * x[c];
        y[row] = s;
    }
}
#endif

#ifdef CSR
/* INDEX: the type of the columns. x is read at scattered places: that is a gather, one load for each lane. */
#define LANES 8
void csr(int64_t rows, const int32_t *restrict start, const INDEX *restrict column, const float *restrict value,
         const float *restrict x, float *restrict y) {
    for (int64_t row = 0; row < rows; row++) {
        float a[LANES] = {0}, s;
        int64_t p = start[row], end = start[row + 1];
        for (; p + LANES <= end; p += LANES)
            for (int l = 0; l < LANES; l++) a[l] += value[p + l] * x[column[p + l]];
        s = sum(a, LANES);
        for (; p < end; p++) s += value[p] * x[column[p]];
        y[row] = s;
    }
}
#endif

#ifdef BLOCKS
/* INDEX: the type of the columns. R, C: the sides of a block. The lanes of a vector lie along a row of the block,
   or along its only column, up to the width of this machine's vectors; a side that is not a power of two is added one
   number at a time. */
#if defined(__AVX512F__)
#define WIDEST 16
#elif defined(__AVX__)
#define WIDEST 8
#else
#define WIDEST 4
#endif
#define SIDE (C == 1 ? R : C)
#define LANES (SIDE & (SIDE - 1) ? 1 : SIDE < WIDEST ? SIDE : WIDEST)
#define VECTORS (R * C / LANES)
#define ROW_VECTORS (C < LANES ? 1 : C / LANES) /* in a row; never 0, since C == 1 compiles the % too */
typedef float vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
static inline void add(vector *a, const float *value, const float *z) {
    const vector *v = (const vector *)value, *x = (const vector *)z;
    for (int k = 0; k < VECTORS; k++) a[k] += C == 1 ? v[k] * z[0] : v[k] * x[k % ROW_VECTORS];
}
void blocks(int64_t block_rows, const int32_t *restrict start, const INDEX *restrict column,
            const float *restrict value, const float *restrict x, float *restrict y) {
    for (int64_t row = 0; row < block_rows; row++) {
        vector a[VECTORS], b[VECTORS];
        memset(a, 0, sizeof a);
        memset(b, 0, sizeof b);
        int64_t p = start[row], end = start[row + 1];
        for (; VECTORS <= 2 && p + 2 <= end; p += 2) {
            add(a, value + p * (R * C), x + (int64_t)column[p] * C);
            add(b, value + (p + 1) * (R * C), x + (int64_t)column[p + 1] * C);
        }
        for (; p < end; p++) add(a, value + p * (R * C), x + (int64_t)column[p] * C);
        for (int k = 0; k < VECTORS; k++) a[k] += b[k];
        for (int i = 0; i < R; i++) y[row * R + i] = sum((const float *)a + i * C, C);
    }
}
#endif

#ifdef BITMAP
/* 16 columns at a time, their bits and as many values as there are ones; 32, where the rows are whole bytes. The mask
   keeps x out of the sums where there is no weight. Without AVX-512 the ones are looked up one by one. */
static inline uint32_t bits_at(const uint8_t *bits, int64_t at, int count) {
    const uint8_t *b = bits + (at >> 3);
    int shift = at & 7;
    uint32_t word = b[0];
    if (shift + count > 8) word |= (uint32_t)b[1] << 8;
    if (shift + count > 16) word |= (uint32_t)b[2] << 16;
    return (word >> shift) & ((1u << count) - 1);
}
void bitmap(int64_t rows, int64_t columns, const uint8_t *restrict bits, const float *restrict value,
            const float *restrict x, float *restrict y) {
    for (int64_t row = 0; row < rows; row++) {
#ifdef __AVX512F__
        __m512 a = _mm512_setzero_ps(), b = a;
        int64_t c = 0;
        for (; columns % 8 == 0 && c + 32 <= columns; c += 32) {
            uint32_t there;
            memcpy(&there, bits + (row * columns + c) / 8, 4);
            __mmask16 low = (__mmask16)there, high = (__mmask16)(there >> 16);
            __m512 v = _mm512_maskz_expandloadu_ps(low, value);
            __m512 w = _mm512_maskz_expandloadu_ps(high, value + __builtin_popcount(low));
            a = _mm512_mask3_fmadd_ps(v, _mm512_loadu_ps(x + c), a, low);
            b = _mm512_mask3_fmadd_ps(w, _mm512_loadu_ps(x + c + 16), b, high);
            value += __builtin_popcount(there);
        }
        for (; c < columns; c += 16) {
            int count = columns - c < 16 ? (int)(columns - c) : 16;
            uint32_t there = bits_at(bits, row * columns + c, count);
            __m512 v = _mm512_maskz_expandloadu_ps((__mmask16)there, value);
            __m512 z = _mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), x + c);
            a = _mm512_mask3_fmadd_ps(v, z, a, (__mmask16)there);
            value += __builtin_popcount(there);
        }
        y[row] = _mm512_reduce_add_ps(_mm512_add_ps(a, b));
#else
        float s = 0;
        for (int64_t c = 0; c < columns; c += 16) {
            int count = columns - c < 16 ? (int)(columns - c) : 16;
            for (uint32_t there = bits_at(bits, row * columns + c, count); there; there &= there - 1)
                s += *value++ * x[c + __builtin_ctz(there)];
        }
        y[row] = s;
#endif
    }
}
#endif

#ifdef N_OF_M
/* N, M: any n of m, position by position. BITS: how many bits name a position. */
void n_of_m(int64_t rows, int64_t columns, const uint8_t *restrict position, const float *restrict value,
            const float *restrict x, float *restrict y) {
    int64_t at = 0;
    for (int64_t row = 0; row < rows; row++) {
        float a[N] = {0};
        for (int64_t c = 0; c < columns; c += M)
            for (int k = 0; k < N; k++, at += BITS) {
                const uint8_t *b = position + (at >> 3);
                uint32_t word = b[0];
                if ((at & 7) + BITS > 8) word |= (uint32_t)b[1] << 8;
                a[k] += *value++ * x[c + ((word >> (at & 7)) & ((1u << BITS) - 1))];
            }
        y[row] = sum(a, N);
    }
}
#endif

#ifdef TWO_OF_FOUR
/* 2:4 with rows of whole bytes (8 divides the columns). A byte holds the positions of 4 values, 8 columns of W. The
   index for the shuffle is the position plus the first column of its group, counted across both vectors of x. */
void two_of_four(int64_t rows, int64_t columns, const uint8_t *restrict position, const float *restrict value,
                 const float *restrict x, float *restrict y) {
    for (int64_t row = 0; row < rows; row++, position += columns / 8, value += columns / 2) {
        int64_t c = 0;
        float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#if defined(__AVX512F__)
        const __m512i shift = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
        const __m512i group = _mm512_set_epi32(28, 28, 24, 24, 20, 20, 16, 16, 12, 12, 8, 8, 4, 4, 0, 0);
        __m512 a = _mm512_setzero_ps();
        for (; c + 32 <= columns; c += 32) {
            int32_t word;
            memcpy(&word, position + c / 8, 4);
            __m512i place = _mm512_and_si512(_mm512_srlv_epi32(_mm512_set1_epi32(word), shift), _mm512_set1_epi32(3));
            __m512 z = _mm512_permutex2var_ps(_mm512_loadu_ps(x + c), _mm512_or_si512(place, group),
                                              _mm512_loadu_ps(x + c + 16));
            a = _mm512_fmadd_ps(_mm512_loadu_ps(value + c / 2), z, a);
        }
        s0 = _mm512_reduce_add_ps(a);
#elif defined(__AVX2__) && defined(__FMA__)
        const __m256i shift = _mm256_set_epi32(14, 12, 10, 8, 6, 4, 2, 0);
        const __m256i group = _mm256_set_epi32(4, 4, 0, 0, 4, 4, 0, 0);
        float lanes[8];
        __m256 a = _mm256_setzero_ps();
        for (; c + 16 <= columns; c += 16) {
            uint16_t word;
            memcpy(&word, position + c / 8, 2);
            __m256i place = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(word), shift), _mm256_set1_epi32(3));
            __m256i index = _mm256_or_si256(place, group);
            __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x + c), index);
            __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x + c + 8), index);
            a = _mm256_fmadd_ps(_mm256_loadu_ps(value + c / 2), _mm256_blend_ps(low, high, 0xF0), a);
        }
        _mm256_storeu_ps(lanes, a);
        s0 = sum(lanes, 8);
#endif
        for (; c < columns; c += 8) {
            uint32_t byte = position[c / 8];
            const float *v = value + c / 2, *z = x + c;
            s0 += v[0] * z[byte & 3];
            s1 += v[1] * z[(byte >> 2) & 3];
            s2 += v[2] * z[4 + ((byte >> 4) & 3)];
            s3 += v[3] * z[4 + ((byte >> 6) & 3)];
        }
        y[row] = (s0 + s1) + (s2 + s3);
    }
}
#endif
