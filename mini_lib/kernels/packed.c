/* Products with weights of few bits, computed on the packed codes: y = scale * (codes - zero) x + bias.

   Activations. A vector of inputs is rounded to int8 with a scale of its own, the largest magnitude / 127 (for a
   convolution one scale per image). So the inner loop is integers: codes of BITS bits times int8, summed exactly in
   int32. Only where the scale of the weights changes, at the end of a group, do floats come in.

   Layout. A tile is 16 rows. Its rows lie interleaved, so that one vector load brings the next codes of 16 rows, and no
   sum ever runs across a vector. A row's part of a load is a word of 32 bits, and a shift and a mask make four bytes of
   it, the codes of four columns next to each other; 4 * activations follow with one broadcast:

       8 bits:   4 columns in a word, one step                   4 bits:   8 columns, the steps w & 15, w >> 4 & 15
       2 bits:  16 columns, four steps                           1 bit:   32 columns, eight steps
       3 bits:  32 columns in three words: two words of 2 bits, and one with the high bit of each code

   The codes count from the lowest one of the grid, so they are not negative, and the zero point is the start value of
   the sum: -zero * (sum of the activations). One bit stands for -1 and 1: 2 * code - 1.

   The portable code below is C with the vectors of GCC and Clang, or with plain numbers where a compiler has none. An
   instruction set has a file of its own, which is put before this one and defines the same things: `word`, `sums`,
   `floats`, `activation`, `partial`, `dot` and `widen`. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define TILE 16
#define AHEAD 1024 /* words, a page: the processor fetches ahead by itself, but not across the end of a page */
#ifdef __GNUC__
#define PREFETCH __builtin_prefetch
#else
#define PREFETCH(address)
#define __attribute__(ignored)
#endif

#ifndef INTRINSICS
#if defined(PLAIN) || !defined(__GNUC__)
#elif defined(__AVX512BW__)
#define VECTOR(type) type __attribute__((vector_size(64), aligned(4), may_alias))
#elif defined(__AVX2__)
#define VECTOR(type) type __attribute__((vector_size(32), aligned(4), may_alias))
#else
#define VECTOR(type) type __attribute__((vector_size(16), aligned(4), may_alias))
#endif
/* Lanes of 16 bits: even and odd bytes of a word, each times an activation of 16 bits. A lane sums two products per step
   of at most 15 * 128, so after 32 columns it is at most 30,720 and fits; then it is added to 32 bits. */
typedef int16_t activation;
#define PARTIAL_COLUMNS 32
#define PLACE(k) (((k) & ~3) | ((k) & 1) << 1 | ((k) >> 1 & 1)) /* of four, the even ones first */
#ifdef VECTOR
typedef VECTOR(uint32_t) word;
typedef VECTOR(int32_t) sums;
typedef VECTOR(float) floats;
typedef VECTOR(int16_t) partial;
typedef VECTOR(uint16_t) halves;
#define FLOATS(s) __builtin_convertvector(s, floats)
static inline word pair(const activation *a) {
    uint32_t two;
    memcpy(&two, a, 4);
    return two - (word){0};
}
static inline partial dot(partial t, word bytes, const activation *a) {
    halves low = (halves)bytes & 255, high = (halves)bytes >> 8;
    return t + (partial)low * (partial)pair(a) + (partial)high * (partial)pair(a + 2);
}
static inline sums widen(partial t) { return ((sums)t << 16 >> 16) + ((sums)t >> 16); }
#else
typedef uint32_t word;
typedef int32_t sums, partial;
typedef float floats;
#define FLOATS(s) ((float)(s))
static inline partial dot(partial t, word b, const activation *a) {
    return t + (int)(b & 255) * a[0] + (int)(b >> 16 & 255) * a[1] + (int)(b >> 8 & 255) * a[2] + (int)(b >> 24) * a[3];
}
static inline sums widen(partial t) { return t; }
#endif
#endif

#define LANES ((int)(sizeof(word) / 4))
#define VECTORS (TILE / LANES)
#define WORDS (BITS == 3 ? 3 : 1)             /* of a row in one unit */
#define UNIT (BITS == 3 ? 32 : 32 / BITS)     /* columns in one unit */
#define STEPS (UNIT / 4)
#ifndef WHOLE_BYTES                           /* dot takes bytes up to 255; where it does not, 8 bits are two planes */
#define WHOLE_BYTES 0
#endif
#define PLANES (BITS == 8 && !WHOLE_BYTES ? 2 : 1)
#define PLANE (PLANES == 2 ? 0x0F0F0F0Fu : 0xFFFFFFFFu)
#define MOST 8                                /* vectors that share one load of the codes */

/* The codes of four columns, one in each byte: step s of a unit. */
static inline word quad(const word *w, int s) {
#if BITS == 3
    word high = s < 2 ? w[2] << (2 - s) : w[2] >> (s - 2);
    return (w[s / 4] >> (2 * (s % 4)) & 0x03030303u) | (high & 0x04040404u);
#elif BITS == 8
    return w[0];
#else
    return w[0] >> (BITS * s) & 0x01010101u * ((1u << BITS) - 1);
#endif
}

/* Scales as they are stored: fp32, fp16 (SCALE 16) or bf16 (SCALE 8, the bits of its fraction and the leading one). Both
   short ones are moved to where fp32 has these bits. The exponent of fp16 starts from 15 and not from 127: it gets 112
   more, and twice that where it stands for infinity and NaN. Below 2^-14 fp16 counts steps of 2^-24. x86 has an
   instruction for it: FLOATS_OF_HALVES. */
#ifndef SCALE
#define SCALE 24
#endif
#if SCALE == 24
typedef float scale_type;
#else
typedef uint16_t scale_type;
#endif
static inline floats scales_at(const scale_type *from) {
    floats scale;
#if SCALE == 16 && defined FLOATS_OF_HALVES && defined __F16C__
    scale = FLOATS_OF_HALVES(from);
#elif SCALE == 24
    scale = *(const floats *)from; /* not memcpy: gcc makes two halves of it, which a load of the whole then waits for */
#else
    uint32_t lanes[LANES];
    for (int l = 0; l < LANES; l++) lanes[l] = (uint32_t)from[l] << (SCALE == 16 ? 0 : 16);
    memcpy(&scale, lanes, sizeof scale);
#if SCALE == 16
    word all, bits, steps, below, finite;
    memcpy(&all, &scale, sizeof all);
    bits = all & 0x7FFF, below = (word)((sums)(bits - 0x400) >> 31), finite = (word)((sums)(bits - 0x7C00) >> 31);
    scale = FLOATS((sums)bits) * 0x1p-24f;
    memcpy(&steps, &scale, sizeof steps);
    bits = (bits << 13) + (112u << 23) + (~finite & 112u << 23);
    bits = (below & steps) | (~below & bits) | (all & 0x8000) << 16;
    memcpy(&scale, &bits, sizeof scale);
#endif
#endif
    return scale;
}

typedef struct {
    int64_t rows, groups, padded; /* padded: columns of a group, a multiple of UNIT */
    int32_t constant_zero;        /* of all groups, where `zeros` is NULL */
    const uint32_t *codes;        /* [tiles, groups, units, WORDS, TILE] */
    const scale_type *scales;     /* [tiles, groups, TILE] */
    const uint8_t *zeros;         /* as scales */
    const float *bias;            /* [rows], or NULL */
} weights;

/* The outputs of one tile and one vector: times the step of its activations, plus the bias. */
static __attribute__((noinline)) void put(const weights *w, int64_t at, const float *result, float step, float *y,
                                          int64_t row_stride) {
    int64_t left = w->rows - at * TILE, here = left < TILE ? left : TILE;
    for (int64_t r = 0; r < here; r++)
        y[r * row_stride] = result[r] * step + (w->bias ? w->bias[at * TILE + r] : 0);
}

static __attribute__((noinline)) void put_sums(const weights *w, int64_t at, const int32_t *result, int32_t *y) {
    int64_t left = w->rows - at * TILE;
    memcpy(y, result, (left < TILE ? left : TILE) * 4);
}

/* Add the products of one group: 16 rows times M vectors, which are `columns` apart. */
static inline __attribute__((always_inline)) void add_group(const int M, const int64_t units, int64_t columns,
                                                            const uint32_t *codes, const activation *a,
                                                            sums (*sum)[VECTORS]) {
    for (int64_t u = 0; u < units;) {
        int64_t end = units - u < PARTIAL_COLUMNS / UNIT ? units : u + PARTIAL_COLUMNS / UNIT;
        partial t[PLANES][MOST][VECTORS];
        memset(t, 0, sizeof t);
        for (; u < end; u++, codes += WORDS * TILE) {
            for (int i = 0; i < WORDS; i++) PREFETCH(codes + i * TILE + AHEAD);
            for (int v = 0; v < VECTORS; v++) {
                word here[WORDS];
                for (int i = 0; i < WORDS; i++) here[i] = *(const word *)(codes + i * TILE + v * LANES);
                for (int s = 0; s < STEPS; s++) {
                    word four = quad(here, s);
                    for (int m = 0; m < M; m++)
                        for (int p = 0; p < PLANES; p++)
                            t[p][m][v] = dot(t[p][m][v], four >> 4 * p & PLANE, a + m * columns + u * UNIT + 4 * s);
                }
            }
        }
        for (int m = 0; m < M; m++)
            for (int v = 0; v < VECTORS; v++)
                for (int p = 0; p < PLANES; p++) sum[m][v] += widen(t[p][m][v]) * (BITS == 1 ? 2 : 1 << 4 * p);
    }
}

/* One tile of rows times M vectors. M is known where this is inlined, so the sums stay in registers. */
static inline __attribute__((always_inline)) void tile(const int M, const weights *w, int64_t at, const activation *a,
                                                       const int32_t *totals, const float *steps, float *y,
                                                       int64_t vector_stride, int64_t row_stride, int32_t *whole) {
    int64_t units = w->padded / UNIT, columns = w->groups * w->padded;
    floats result[MOST][VECTORS];
    memset(result, 0, sizeof result);
    for (int64_t g = 0; g < w->groups; g++) {
        int64_t place = at * w->groups + g;
        const uint32_t *codes = w->codes + place * units * WORDS * TILE;
        sums sum[MOST][VECTORS];
        for (int v = 0; v < VECTORS; v++) {
            sums zero = w->constant_zero - (sums){0};
            if (w->zeros) {
                int32_t lanes[LANES];
                for (int l = 0; l < LANES; l++) lanes[l] = w->zeros[place * TILE + v * LANES + l];
                memcpy(&zero, lanes, sizeof zero);
            }
            for (int m = 0; m < M; m++) sum[m][v] = -zero * totals[m * w->groups + g];
        }
        if (units == 32 / UNIT) /* a common size: known in advance, its loop has no counter */
            add_group(M, 32 / UNIT, columns, codes, a + g * w->padded, sum);
        else
            add_group(M, units, columns, codes, a + g * w->padded, sum);
        for (int v = 0; v < VECTORS; v++) {
            floats scale = scales_at(w->scales + place * TILE + v * LANES);
            for (int m = 0; m < M; m++) result[m][v] += FLOATS(sum[m][v]) * scale;
        }
        if (whole) /* integers to integers: the sums themselves, of the only group */
            for (int m = 0; m < M; m++) {
                sums row[VECTORS]; /* a copy: what a function gets the address of does not stay in registers */
                for (int v = 0; v < VECTORS; v++) row[v] = sum[m][v];
                put_sums(w, at, (const int32_t *)row, whole + m * vector_stride + at * TILE);
            }
    }
    for (int m = 0; m < M && !whole; m++) {
        floats row[VECTORS];
        for (int v = 0; v < VECTORS; v++) row[v] = result[m][v];
        put(w, at, (const float *)row, steps[m], y + m * vector_stride + at * TILE * row_stride, row_stride);
    }
}

/* All tiles times `count` vectors: the codes of a tile are loaded for 8 vectors at a time. With THREADS each thread has a
   run of tiles of its own; no sum crosses a tile, so the results are the same. */
static __attribute__((noinline)) void product(const weights *w, int64_t count, const activation *a,
                                              const int32_t *totals, const float *steps, float *y,
                                              int64_t vector_stride, int64_t row_stride, int32_t *whole) {
    int64_t columns = w->groups * w->padded, tiles = (w->rows + TILE - 1) / TILE;
#ifdef THREADS
#pragma omp parallel for num_threads(THREADS) schedule(static)
#endif
    for (int64_t at = 0; at < tiles; at++) {
        int64_t n = 0;
#define SOME(M)                                                                                                   \
    for (; n + M <= count; n += M)                                                                                \
        tile(M, w, at, a + n * columns, totals + n * w->groups, steps + n, y + n * vector_stride, vector_stride,  \
             row_stride, whole ? whole + n * vector_stride : 0);
        SOME(8) SOME(4) SOME(1)
    }
}

/* Round to int8 and return the step. The largest magnitude is found among the bits of the floats, which are in the order
   of the numbers, NaN and infinity last: these make the step, and with it every output, NaN. */
static __attribute__((noinline)) float round_to_bytes(int64_t count, const float *x, int8_t *to) {
    uint32_t largest = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        bits &= 0x7FFFFFFF;
        largest = bits > largest ? bits : largest;
    }
    if (largest >= 0x7F800000) {
        memset(to, 0, count);
        return NAN;
    }
    float top;
    memcpy(&top, &largest, 4);
    if (top < 0x1p-100f) top = 0x1p-100f; /* smaller ones would make 127 / top infinite */
    float factor = 127 / top;
    for (int64_t i = 0; i < count; i++) {
        float shifted = x[i] * factor + 0x1.8p23f; /* its lowest bits are the nearest whole number */
        uint32_t bits;
        memcpy(&bits, &shifted, 4);
        to[i] = (int8_t)bits;
    }
    return top / 127;
}

/* Lay a vector out by groups as `dot` expects it, and sum each group. */
static __attribute__((noinline)) void lay_out(const weights *w, int64_t size, const int8_t *from, activation *to, int32_t *totals) {
    for (int64_t g = 0; g < w->groups; g++, from += size, to += w->padded) {
        int32_t total = 0;
        for (int64_t k = 0; k < size; k++) total += from[k];
        totals[g] = total;
#ifdef PLACE
        for (int64_t k = 0; k < w->padded; k++) to[PLACE(k)] = k < size ? from[k] : 0;
#else
        memcpy(to, from, size);
        memset(to + size, 0, w->padded - size);
#endif
    }
}

/* Scratch memory is cut into pieces that start on 64 bytes. */
static void *piece(uint8_t **scratch, int64_t size) {
    void *here = *scratch;
    *scratch += (size + 63) / 64 * 64;
    return here;
}

void linear(int64_t rows, int64_t groups, int64_t size, int64_t padded, int64_t constant_zero, const uint32_t *codes,
            const scale_type *scales, const uint8_t *zeros, const float *bias, int64_t count, const float *x, float *y,
            uint8_t *scratch) {
    weights w = {rows, groups, padded, (int32_t)constant_zero, codes, scales, zeros, bias};
    activation *a = piece(&scratch, count * groups * padded * sizeof(activation));
    int32_t *totals = piece(&scratch, count * groups * 4);
    float *steps = piece(&scratch, count * 4);
    int8_t *line = piece(&scratch, groups * size);
    for (int64_t n = 0; n < count; n++) {
        steps[n] = round_to_bytes(groups * size, x + n * groups * size, line);
        lay_out(&w, size, line, a + n * groups * padded, totals + n * groups);
    }
    product(&w, count, a, totals, steps, y, rows, 1, 0);
}

/* Integers to integers: int8 activations as they are, and the sums as they are. */
void integers(int64_t rows, int64_t groups, int64_t size, int64_t padded, int64_t constant_zero, const uint32_t *codes,
              const scale_type *scales, const uint8_t *zeros, const float *bias, int64_t count, const int8_t *x, int32_t *y,
              uint8_t *scratch) {
    weights w = {rows, groups, padded, (int32_t)constant_zero, codes, scales, zeros, bias};
    activation *a = piece(&scratch, count * padded * sizeof(activation));
    int32_t *totals = piece(&scratch, count * 4);
    for (int64_t n = 0; n < count; n++) lay_out(&w, size, x + n * size, a + n * padded, totals + n);
    product(&w, count, a, totals, 0, 0, rows, 1, y);
}

/* A convolution: round an image with its border of zeros, lay out what each place of the output sees (im2col), multiply.
   what: channels, height, width of the image; height, width of the kernel, of the stride, of the dilation, of the border
   above and left, of the output, of the image with its border. */
void convolution(int64_t rows, int64_t groups, int64_t size, int64_t padded, int64_t constant_zero,
                 const uint32_t *codes, const scale_type *scales, const uint8_t *zeros, const float *bias, int64_t count,
                 const float *x, float *y, uint8_t *scratch, const int64_t *what) {
    weights w = {rows, groups, padded, (int32_t)constant_zero, codes, scales, zeros, bias};
    int64_t channels = what[0], height = what[1], width = what[2], kh = what[3], kw = what[4], sh = what[5];
    int64_t sw = what[6], dh = what[7], dw = what[8], top = what[9], left = what[10], oh = what[11], ow = what[12];
    int64_t bh = what[13], bw = what[14], places = oh * ow, columns = groups * padded;
    activation *a = piece(&scratch, places * columns * sizeof(activation));
    int32_t *totals = piece(&scratch, places * groups * 4);
    float *steps = piece(&scratch, places * 4);
    int8_t *line = piece(&scratch, groups * size + 8); /* and 8 bytes, since a run is copied as 8 */
    int8_t *flat = piece(&scratch, channels * height * width);
    int8_t *image = piece(&scratch, channels * bh * bw + 8);
    memset(image, 0, channels * bh * bw + 8);
    for (int64_t n = 0; n < count; n++, x += channels * height * width, y += rows * places) {
        float step = round_to_bytes(channels * height * width, x, flat);
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < height; i++)
                memcpy(image + (c * bh + top + i) * bw + left, flat + (c * height + i) * width, width);
        for (int64_t p = 0; p < places; p++) {
            const int8_t *corner = image + p / ow * sh * bw + p % ow * sw;
            int8_t *to = line;
            for (int64_t c = 0; c < channels; c++)
                for (int64_t i = 0; i < kh; i++, to += kw) {
                    const int8_t *from = corner + (c * bh + i * dh) * bw;
                    if (dw == 1 && kw <= 8)
                        memcpy(to, from, 8);
                    else
                        for (int64_t j = 0; j < kw; j++) to[j] = from[j * dw];
                }
            lay_out(&w, size, line, a + p * columns, totals + p * groups);
            steps[p] = step;
        }
        product(&w, places, a, totals, steps, y, 1, places, 0);
    }
}
