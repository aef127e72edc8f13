/* One token through a Llama-like model, without its matrix products: norms, SwiGLU, and attention to a cache.

   Vectors are those of GCC and Clang; PLAIN, or another compiler, makes them plain numbers. A sum over a vector's lanes
   is slow, so it comes last: for the scores of attention, that of as many tokens as there are lanes at once.

   bound() defines, in capitals, the name of the one function to compile. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(PLAIN) || !defined(__GNUC__)
#define LANES 1
typedef float floats;
typedef int32_t ints;
typedef uint32_t words;
#define CHOOSE(mask, a, b) ((mask) ? (a) : (b))
#else
#ifdef __AVX__
#define LANES 8
#else
#define LANES 4
#endif
typedef float floats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t words __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define CHOOSE(mask, a, b) ((floats)(((ints)(a) & (mask)) | ((ints)(b) & ~(mask))))
#endif

static inline floats all(float x) { return x - (floats){0}; }
static inline floats at(const float *x) { return *(const floats *)x; }
static inline void put(float *to, floats x) { *(floats *)to = x; }
static inline floats larger(floats a, floats b) { return CHOOSE(a > b, a, b); }
static inline floats smaller(floats a, floats b) { return CHOOSE(a < b, a, b); }

static inline float sum_of_lanes(floats x) {
    float lanes[LANES];
    memcpy(lanes, &x, sizeof x);
    for (int half = LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) lanes[l] += lanes[l + half];
    return lanes[0];
}

/* exp(x) = 2^n exp(r) with n whole and |r| <= log(2) / 2. exp(r) = 1 + r + r^2 Q(r), where Q has the coefficients that
   make the largest relative error least, 3.1e-9 (Lawson's method); with rounding, below 1.2e-7. n is found where a
   large number leaves no place for a fraction. log(2) is taken off in two parts, so that n times the first is exact.
   Below -87.6 it is 0, where e^x is a float with few digits left; above 88 it stays at e^88. */
static inline floats exponential(floats x) {
    x = CHOOSE(x < all(-88), all(-88), x); /* a NaN stays */
    x = CHOOSE(x > all(88), all(88), x);
    floats shifted = x * 1.44269504f + 0x1.8p23f, n = shifted - 0x1.8p23f, power;
    floats r = x - n * 0.693359375f + n * 2.12194440e-4f;
    floats q = (((1.38145988e-3f * r + 8.36871658e-3f) * r + 4.16683890e-2f) * r + 1.66665211e-1f) * r + 0.499999940f;
    words bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits - 0x4B400000 + 127) << 23;
    memcpy(&power, &bits, sizeof power);
    return (q * r * r + r + 1) * power;
}

#if defined RMS_NORM || defined ADD_RMS_NORM
static float one_over_root_mean_square(int64_t width, const float *x, float eps) {
    floats sums[4];
    memset(sums, 0, sizeof sums);
    int64_t i = 0;
    for (; i + 4 * LANES <= width; i += 4 * LANES)
        for (int j = 0; j < 4; j++) sums[j] += at(x + i + j * LANES) * at(x + i + j * LANES);
    float total = sum_of_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
    for (; i < width; i++) total += x[i] * x[i];
    return 1 / sqrtf(total / width + eps);
}

void rms_norm(int64_t rows, int64_t width, const float *x, const float *weight, const float *eps, float *y) {
    for (int64_t n = 0; n < rows; n++, x += width, y += width) {
        float factor = one_over_root_mean_square(width, x, *eps);
        for (int64_t i = 0; i < width; i++) y[i] = x[i] * factor * weight[i];
    }
}

void add_rms_norm(int64_t rows, int64_t width, float *x, const float *delta, const float *weight, const float *eps,
                  float *y) {
    for (int64_t i = 0; i < rows * width; i++) x[i] += delta[i];
    rms_norm(rows, width, x, weight, eps, y);
}
#endif

#ifdef SWIGLU
/* Below -88, where exp stays at e^88, it is 0: a gate of -3e38 would give -2, and silu(-88) is -5e-37. */
static inline floats silu_times(floats gate, floats up) {
    return CHOOSE(gate < all(-88), all(0), gate / (1 + exponential(-gate))) * up;
}

void swiglu(int64_t rows, int64_t width, const float *row, float *y) {
    for (int64_t n = 0; n < rows; n++, row += 2 * width, y += width) {
        int64_t i = 0;
        for (; i + LANES <= width; i += LANES) put(y + i, silu_times(at(row + i), at(row + width + i)));
        if (i < width) { /* fewer than a vector */
            float gate[LANES] = {0}, up[LANES] = {0};
            memcpy(gate, row + i, (width - i) * 4);
            memcpy(up, row + width + i, (width - i) * 4);
            put(gate, silu_times(at(gate), at(up)));
            memcpy(y + i, gate, (width - i) * 4);
        }
    }
}
#endif

#ifdef ATTEND /* HEAD_DIM, GROUP: query heads per head of keys and values, BITS; of codes GROUP_SIZE; THREADS */
#ifndef THREADS
#define THREADS 1
#endif
#define WORTH_THREADS 256 /* tokens: below, threads cost more than they save */
#define VECTORS (HEAD_DIM / LANES)
#define BLOCK 64 /* tokens whose grids are converted at once; a multiple of LANES */
#if BITS == 32
typedef float cell;
#define ROW HEAD_DIM
#define GROUPS 1
#else
typedef uint8_t cell;
#define ROW (HEAD_DIM * BITS / 8)
#define GROUPS (HEAD_DIM / GROUP_SIZE)
#define TOP ((1 << BITS) - 1)
#endif
#define OF_A_GROUP (VECTORS / GROUPS)
#define FITS(vectors) (OF_A_GROUP % (vectors) == 0 && GROUP * (vectors) <= (BITS == 32 ? 12 : 8))
#define WIDE (FITS(8) ? 8 : FITS(4) ? 4 : FITS(2) ? 2 : 1) /* vectors of a value whose sums fit 16 registers */

/* The order in which a row is computed with: lane l of vector c. 32 bits: as it lies. Codes: a load brings LANES words of
   LANE_BYTES, and a mask leaves one code of each, so a lane has every LANE_BYTES-th column. A code stays where it is in
   its word, that is, times a power of two: FACTOR takes it off again, from q or from the result. Only the highest bits
   are shifted down, since they would make the word negative. */
#if BITS == 32
static inline int column(int c, int l) { return c * LANES + l; }
static inline float factor(int c) { return c < 0 ? 0 : 1; }
static inline floats columns(const float *row, int c) { return at(row + c * LANES); }
#define FETCH_AHEAD(row)
#else
#define LANE_BYTES (LANES == 1 ? 1 : 4)
#define PART (VECTORS / (8 / BITS)) /* vectors in the same bits of their bytes: of 4 bits first the low ones of all */
static inline int shift(int c) { return c % LANE_BYTES * 8 + c / PART * BITS; }
static inline int column(int c, int l) { return (c / LANE_BYTES * LANES + l) * LANE_BYTES + c % LANE_BYTES; }
static inline float factor(int c) { return shift(c) + BITS == 32 ? 1 : 1 / (float)(1 << shift(c)); }
static inline floats columns(const uint8_t *row, int c) {
    row += c % PART / LANE_BYTES * LANE_BYTES * LANES;
#if LANES == 1
    return (float)(*row & TOP << shift(c));
#else
    words codes = *(const words *)row;
    if (shift(c) + BITS == 32)
        codes >>= 32 - BITS;
    else
        codes &= (uint32_t)TOP << shift(c);
    return __builtin_convertvector((ints)codes, floats);
#endif
}
#ifdef __GNUC__ /* the processor fetches ahead by itself, but not across the end of a page */
#define FETCH_AHEAD(row) __builtin_prefetch((row) + 4096)
#else
#define FETCH_AHEAD(row)
#endif

#ifdef __F16C__
#include <immintrin.h>
#endif

/* fp16 has its bits where fp32 has its own, 13 lower; its exponent starts from 15, not 127. Below 2^-14 it counts steps
   of 2^-24. */
static inline float of_half(uint16_t half) {
    uint32_t bits = half & 0x7FFF;
    float x = (float)(int32_t)bits * 0x1p-24f;
    if (bits >= 0x400) {
        bits = (bits << 13) + (112u << 23) + (bits >= 0x7C00 ? 112u << 23 : 0);
        memcpy(&x, &bits, 4);
    }
    return half & 0x8000 ? -x : x;
}

/* To the nearest, of two the even one. Below 2^-14 the sum with 0.5 rounds to steps of 2^-24 by itself. */
static inline uint16_t to_half(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    uint32_t sign = bits >> 16 & 0x8000;
    bits &= 0x7FFFFFFF;
    if (bits > 0x7F800000) return sign | 0x7E00; /* NaN */
    if (bits >= 0x477FF000) return sign | 0x7C00; /* 65,520 and more: infinity */
    if (bits < 0x38800000) {
        memcpy(&x, &bits, 4);
        x += 0.5f;
        memcpy(&bits, &x, 4);
        return sign | (bits - 0x3F000000);
    }
    return sign | (bits - (112u << 23) + 0xFFF + (bits >> 13 & 1)) >> 13;
}

static void of_halves(int64_t count, const uint16_t *from, float *to) {
    int64_t i = 0;
#ifdef __F16C__
    for (; i + 8 <= count; i += 8)
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + i))));
#endif
    for (; i < count; i++) to[i] = of_half(from[i]);
}

#endif

/* Write a row of the cache; the step and the lowest value of a group go to numbers `stride` apart. */
static void store(const float *x, cell *row, uint16_t *grid, int64_t stride) {
#if BITS == 32
    (void)grid, (void)stride;
    memcpy(row, x, HEAD_DIM * 4);
#else
    int32_t codes[HEAD_DIM];
    for (int g = 0; g < GROUPS; g++, x += GROUP_SIZE, grid += 2 * stride) {
        floats least = at(x), most = at(x), odd = at(x) * 0; /* odd: NaN where a number is NaN or infinite, else 0 */
        for (int i = LANES; i < GROUP_SIZE; i += LANES) {
            least = smaller(at(x + i), least);
            most = larger(at(x + i), most);
            odd += at(x + i) * 0;
        }
        float low[LANES], high[LANES], no_number[LANES];
        put(low, least), put(high, most), put(no_number, odd);
        for (int l = 1; l < LANES; l++) {
            low[0] = low[l] < low[0] ? low[l] : low[0];
            high[0] = high[l] > high[0] ? high[l] : high[0];
            no_number[0] += no_number[l];
        }
        /* comparisons drop NaN, and it must not be lost: then the step is NaN, and so is every number read with it */
        grid[0] = to_half((high[0] - low[0]) / TOP + no_number[0]), grid[stride] = to_half(low[0]);
        float step = of_half(grid[0]), from = of_half(grid[stride]);
        for (int i = 0; i < GROUP_SIZE; i += LANES) {
            floats steps = (at(x + i) - from) / (step ? step : INFINITY);
            steps = smaller(CHOOSE(steps > all(0), steps, all(0)), all(TOP)) + 0x1.8p23f;
            memcpy(codes + g * GROUP_SIZE + i, &steps, sizeof steps); /* lowest bits: the nearest whole number */
        }
    }
#if BITS == 4
    for (int i = 0; i < HEAD_DIM / 2; i++) row[i] = (codes[i] & 15) | (codes[i + HEAD_DIM / 2] & 15) << 4;
#else
    for (int i = 0; i < HEAD_DIM; i++) row[i] = (uint8_t)codes[i];
#endif
#endif
}

/* LANES vectors to one: the sum of each. Lanes are added to their neighbours, so that half as many vectors hold what is
   left, until all hold but one number each. */
#if LANES == 1
static inline floats sum_each(const floats *x) { return x[0]; }
#else
#if defined __clang__ || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (ints){__VA_ARGS__})
#endif
#if LANES == 8
#define EVEN 0, 2, 8, 10, 4, 6, 12, 14
#define ODD 1, 3, 9, 11, 5, 7, 13, 15
#else
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#endif
static inline floats sum_pairs(floats a, floats b) { return SHUFFLE(a, b, EVEN) + SHUFFLE(a, b, ODD); }
static inline floats sum_fours(const floats *x) {
    return sum_pairs(sum_pairs(x[0], x[1]), sum_pairs(x[2], x[3]));
}
static inline floats sum_each(const floats *x) {
#if LANES == 4
    return sum_fours(x);
#else
    floats a = sum_fours(x), b = sum_fours(x + 4);
    return SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
#endif
}
#endif

#if LANES == 1
#define UNROLL
#elif defined __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

/* Turn the pairs (i, i + HEAD_DIM / 2) by the angles of a position. */
static void rotate(const float *x, const float *cos, const float *sin, float factor, float *y) {
    const int half = HEAD_DIM / 2;
    for (int i = 0; i < half; i++) {
        float a = x[i] * factor, b = x[i + half] * factor;
        y[i] = a * cos[i] - b * sin[i];
        y[i + half] = b * cos[i] + a * sin[i];
    }
}

/* scores[h][t] = q[h] keys[t] for t < count, and up to LANES - 1 more, which are to be overwritten. With codes it is
   step * (q codes) + low * (the sum of q), group by group. totals: sums of the groups of each q. */
static __attribute__((noinline)) void score(int64_t count, const cell *keys, float (*grid)[2][BLOCK], const float *q,
                                            float (*totals)[GROUPS], float *scores, int64_t stride) {
    enum { TOGETHER = LANES == 1 ? 1 : 2 }; /* tokens per load of q */
    (void)grid, (void)totals;
    for (int64_t t = 0; t < count; t += LANES) {
        floats sums[GROUP][LANES];
        for (int j = 0; j < LANES; j += TOGETHER) {
            int64_t row[TOGETHER];
            for (int k = 0; k < TOGETHER; k++) {
                row[k] = t + j + k < count ? t + j + k : count - 1;
                FETCH_AHEAD(keys + row[k] * ROW);
            }
            UNROLL for (int g = 0; g < GROUPS; g++) {
                floats sum[GROUP][TOGETHER];
                memset(sum, 0, sizeof sum);
                UNROLL for (int i = 0; i < OF_A_GROUP; i++) {
                    int c = g * OF_A_GROUP + i;
                    floats key[TOGETHER];
                    for (int k = 0; k < TOGETHER; k++) key[k] = columns(keys + row[k] * ROW, c);
                    for (int h = 0; h < GROUP; h++)
                        for (int k = 0; k < TOGETHER; k++) sum[h][k] += key[k] * at(q + h * HEAD_DIM + c * LANES);
                }
                for (int h = 0; h < GROUP; h++)
                    for (int k = 0; k < TOGETHER; k++) {
#if BITS != 32
                        sum[h][k] *= grid[g][0][row[k]];
#endif
                        if (g)
                            sums[h][j + k] += sum[h][k];
                        else
                            sums[h][j + k] = sum[h][k];
                    }
            }
        }
        for (int h = 0; h < GROUP; h++) {
            floats result = sum_each(sums[h]);
#if BITS != 32
            for (int g = 0; g < GROUPS; g++) result += at(grid[g][1] + t) * totals[h][g];
#endif
            put(scores + h * stride + t, result);
        }
    }
}

/* totals[h] += sum over t < count of weights[h][t] values[t]; with codes, weights[h][g][t] for group g. */
static __attribute__((noinline)) void gather(int64_t count, const cell *values, const float *weights, int64_t stride,
                                             int64_t group_stride, floats (*totals)[VECTORS]) {
    for (int first = 0; first < VECTORS; first += WIDE) {
        const float *here = weights + first / OF_A_GROUP * group_stride;
        floats sum[GROUP][WIDE];
        for (int h = 0; h < GROUP; h++)
            for (int c = 0; c < WIDE; c++) sum[h][c] = totals[h][first + c];
        for (int64_t t = 0; t < count; t++) {
            FETCH_AHEAD(values + t * ROW);
            UNROLL for (int c = 0; c < WIDE; c++) {
                floats value = columns(values + t * ROW, first + c);
                for (int h = 0; h < GROUP; h++) sum[h][c] += here[h * stride + t] * value;
            }
        }
        for (int h = 0; h < GROUP; h++)
            for (int c = 0; c < WIDE; c++) totals[h][first + c] = sum[h][c];
    }
}

/* Scores to exp(score - the largest). The largest and the sum go to most_and_sum. `padded` is a multiple of LANES. */
static void softmax(int64_t count, int64_t padded, float *scores, float *most_and_sum) {
    for (int64_t t = count; t < padded; t++) scores[t] = -INFINITY;
    floats most = at(scores), sum = all(0);
    for (int64_t t = LANES; t < padded; t += LANES) most = larger(at(scores + t), most);
    float lanes[LANES];
    put(lanes, most);
    for (int l = 1; l < LANES; l++) lanes[0] = lanes[l] > lanes[0] ? lanes[l] : lanes[0];
    for (int64_t t = 0; t < padded; t += LANES) {
        floats weight = exponential(at(scores + t) - lanes[0]);
        put(scores + t, weight);
        sum += weight;
    }
    most_and_sum[0] = lanes[0];
    most_and_sum[1] = sum_of_lanes(sum);
}

#if BITS != 32
/* The grids of some tokens as floats, and zeros up to the next whole vector. */
static void grids_at(int64_t count, int64_t room, const uint16_t *from, float (*grid)[2][BLOCK]) {
    for (int i = 0; i < 2 * GROUPS; i++) {
        float *to = grid[i / 2][i % 2];
        of_halves(count, from + i * room, to);
        for (int64_t t = count; t % LANES; t++) to[t] = 0;
    }
}
#endif

/* What the tokens of one part of the context give to the GROUP heads of q that share a head of keys and values: the sum
   of exp(score - the largest score) * value [HEAD_DIM], the largest score, and the sum of the exp. */
typedef struct {
    float sum_of_values[HEAD_DIM], most_and_sum[2];
} share;

static void attend_part(int64_t room, int64_t count, const float *q, const cell *keys, const cell *values,
                        const uint16_t *key_grid, const uint16_t *value_grid, float *scores, share *result) {
    int64_t padded = (count + LANES - 1) / LANES * LANES;
    float ordered[GROUP][HEAD_DIM], sums[GROUP][GROUPS], grid[GROUPS][2][BLOCK];
    floats totals[GROUP][VECTORS], lows[GROUP][GROUPS];
    (void)room, (void)key_grid, (void)value_grid;
    memset(sums, 0, sizeof sums);
    for (int h = 0; h < GROUP; h++)
        for (int c = 0; c < VECTORS; c++)
            for (int l = 0; l < LANES; l++) {
                float x = q[h * HEAD_DIM + column(c, l)];
                ordered[h][c * LANES + l] = x * factor(c);
                sums[h][c / OF_A_GROUP] += x;
            }
    for (int64_t t = 0; t < count; t += BLOCK) {
        int64_t some = count - t < BLOCK ? count - t : BLOCK;
#if BITS != 32
        grids_at(some, room, key_grid + t, grid);
#endif
        score(some, keys + t * ROW, grid, ordered[0], sums, scores + t, padded);
    }
    for (int h = 0; h < GROUP; h++) softmax(count, padded, scores + h * padded, result[h].most_and_sum);
    memset(totals, 0, sizeof totals);
    memset(lows, 0, sizeof lows);
    for (int64_t t = 0; t < count; t += BLOCK) {
        int64_t some = count - t < BLOCK ? count - t : BLOCK;
#if BITS == 32
        gather(some, values + t * ROW, scores + t, padded, 0, totals);
#else
        float weights[GROUP][GROUPS][BLOCK];
        grids_at(some, room, value_grid + t, grid);
        for (int h = 0; h < GROUP; h++)
            for (int g = 0; g < GROUPS; g++)
                for (int64_t i = 0; i < some; i += LANES) {
                    floats weight = at(scores + h * padded + t + i);
                    put(weights[h][g] + i, weight * at(grid[g][0] + i));
                    lows[h][g] += weight * at(grid[g][1] + i);
                }
        gather(some, values + t * ROW, weights[0][0], GROUPS * BLOCK, BLOCK, totals);
#endif
    }
    for (int h = 0; h < GROUP; h++)
        for (int c = 0; c < VECTORS; c++) {
            float lanes[LANES], low = sum_of_lanes(lows[h][c / OF_A_GROUP]);
            put(lanes, totals[h][c] * factor(c));
            for (int l = 0; l < LANES; l++) result[h].sum_of_values[column(c, l)] = lanes[l] + low;
        }
}

/* The parts' shares `apart` from each other, on one scale: that of the largest score of all. */
static void join(int64_t parts, int64_t apart, const share *shares, float *out) {
    float most = shares->most_and_sum[0], sum = 0;
    for (int64_t p = 1; p < parts; p++) most = fmaxf(most, shares[p * apart].most_and_sum[0]);
    memset(out, 0, HEAD_DIM * 4);
    for (int64_t p = 0; p < parts; p++) {
        const share *here = shares + p * apart;
        float scale = expf(here->most_and_sum[0] - most);
        sum += scale * here->most_and_sum[1];
        for (int i = 0; i < HEAD_DIM; i++) out[i] += scale * here->sum_of_values[i];
    }
    for (int i = 0; i < HEAD_DIM; i++) out[i] *= 1 / sum;
}

/* The context is cut into as many parts as there are threads, since the heads may not divide among them. `scratch` holds
   for each part of each head GROUP shares, and then the scores. */
void attend(int64_t kv_heads, int64_t room, const float *row, const int64_t *position, const float *cos, const float *sin,
            cell *keys, cell *values, uint16_t *key_grid, uint16_t *value_grid, float *scratch, float *out) {
    const int64_t here = *position, q_size = GROUP * HEAD_DIM, grid_size = BITS == 32 ? 0 : 2 * GROUPS * room;
    const float *k = row + kv_heads * q_size, *v = k + kv_heads * HEAD_DIM;
    if (here < 0 || here >= room) {
        for (int64_t i = 0; i < kv_heads * q_size; i++) out[i] = NAN;
        return;
    }
    cos += here * (HEAD_DIM / 2), sin += here * (HEAD_DIM / 2);
    for (int64_t n = 0; n < kv_heads; n++) {
        float turned[HEAD_DIM];
        int64_t at_grid = BITS == 32 ? 0 : n * grid_size + here;
        rotate(k + n * HEAD_DIM, cos, sin, 1, turned);
        store(turned, keys + (n * room + here) * ROW, key_grid + at_grid, room);
        store(v + n * HEAD_DIM, values + (n * room + here) * ROW, value_grid + at_grid, room);
    }
    int64_t count = here + 1, parts = count < WORTH_THREADS ? 1 : THREADS < count ? THREADS : count;
    int64_t longest = ((count + parts - 1) / parts + LANES - 1) / LANES * LANES;
    share *shares = (share *)scratch;
    float *scores = scratch + kv_heads * parts * GROUP * (HEAD_DIM + 2);
#if THREADS > 1
#pragma omp parallel for num_threads(THREADS) schedule(static) if (parts > 1)
#endif
    for (int64_t i = 0; i < kv_heads * parts; i++) {
        int64_t n = i / parts, first = count * (i % parts) / parts, end = count * (i % parts + 1) / parts;
        int64_t place = n * room + first, at_grid = BITS == 32 ? 0 : n * grid_size + first;
        float q[GROUP * HEAD_DIM];
        for (int h = 0; h < GROUP; h++)
            rotate(row + n * q_size + h * HEAD_DIM, cos, sin, 1 / sqrtf(HEAD_DIM), q + h * HEAD_DIM);
        attend_part(room, end - first, q, keys + place * ROW, values + place * ROW, key_grid + at_grid,
                    value_grid + at_grid, scores + i * GROUP * longest, shares + i * GROUP);
    }
    for (int64_t n = 0; n < kv_heads; n++)
        for (int h = 0; h < GROUP; h++)
            join(parts, GROUP, shares + n * parts * GROUP + h, out + n * q_size + h * HEAD_DIM);
}
#endif
