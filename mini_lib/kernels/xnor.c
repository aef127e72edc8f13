/* Products of signs: where weights and inputs are -1 or 1, a product is 1 if the two bits agree. Of k products, those
   that differ are the ones of w ^ x, so the sum is k - 2 * popcount(w ^ x): 64 products per word. */
#include <stdint.h>

void xnor(int64_t count, int64_t rows, int64_t words, int64_t columns, const uint64_t *restrict w,
          const uint64_t *restrict x, int32_t *restrict y) {
    for (int64_t n = 0; n < count; n++)
        for (int64_t r = 0; r < rows; r++) {
            int64_t differ = 0;
            for (int64_t i = 0; i < words; i++) differ += __builtin_popcountll(w[r * words + i] ^ x[n * words + i]);
            y[n * rows + r] = (int32_t)(columns - 2 * differ);
        }
}
