/* Small loops whose times tell clock, latencies and the price of a line. VECTOR_BYTES is defined by the caller. */
#include <stdint.h>
#define HOLD(kind, x) __asm__ volatile("" : "+" kind(x))
int64_t adds(int64_t n) {
    int64_t x = n;
    for (; n > 0; n--) {
        x += n; HOLD("r", x); x += n; HOLD("r", x);
        x += n; HOLD("r", x); x += n; HOLD("r", x);
    }
    return x;
}
void chain(int64_t n, volatile float *s, const float *x) {
    float sum = *s;
    for (; n > 0; n--) sum += x[n & 7] * x[n & 3];
    *s = sum;
}
typedef float wide __attribute__((vector_size(VECTOR_BYTES)));
void wide_chain(int64_t n, float *s, const float *x) {
    wide sum = {0}, product = sum + x[0];
    for (; n > 0; n--) sum += product;
    for (int i = 0; i < VECTOR_BYTES / 4; i++) *s += sum[i];
}
void forward(int64_t n, volatile float *s, const float *x) {
    for (; n > 0; n--) *s += x[n & 7] * x[n & 3];
}
void fetch(int64_t n, char *at, int64_t bytes, int64_t step) {
    for (; n > 0; n--)
        for (int64_t j = 0; j < step; j += 64)
            for (int64_t i = j; i < bytes; i += step) (void)*(volatile int32_t *)(at + i);
}
void change(int64_t n, char *at, int64_t bytes, int64_t step) {
    for (; n > 0; n--)
        for (int64_t j = 0; j < step; j += 64)
            for (int64_t i = j; i < bytes; i += step) *(volatile int32_t *)(at + i) = 1;
}
