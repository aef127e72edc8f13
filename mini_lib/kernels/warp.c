/* Pictures moved: each pixel of the result is fetched, whole, from a place in its picture. Places are whole multiples of
   1/65536 of a pixel, so that stepping from pixel to pixel rounds nothing. The places of a row are found first, without a
   branch, for all channels. */
#include <math.h>
#include <stdint.h>
#include <string.h>

static int32_t fixed(double value) { return (int32_t)floor(value * 65536.0 + 0.5); }

void warp(int64_t count, int64_t channels, int64_t height, int64_t width, int64_t fill, const uint8_t *restrict pictures,
          const double *restrict matrix, int32_t *restrict places, uint8_t *restrict result) {
    for (int64_t n = 0; n < count; n++) {
        double entry[6];
        for (int i = 0; i < 6; i++) entry[i] = matrix[i * count + n];
        int32_t a = fixed(entry[0]), b = fixed(entry[1]), d = fixed(entry[3]), e = fixed(entry[4]);
        int32_t column = fixed(entry[2] + 0.5 * entry[0] + 0.5 * entry[1]);
        int32_t row = fixed(entry[5] + 0.5 * entry[3] + 0.5 * entry[4]);
        for (int64_t y = 0; y < height; y++, column += b, row += e) {
            for (int32_t x = 0; x < width; x++) {
                int32_t i = (column + a * x) >> 16, j = (row + d * x) >> 16;
                int inside = ((uint32_t)i < (uint32_t)width) & ((uint32_t)j < (uint32_t)height);
                places[x] = inside ? j * (int32_t)width + i : -1;
            }
            for (int64_t c = 0; c < channels; c++) {
                const uint8_t *from = pictures + (n * channels + c) * height * width;
                uint8_t *to = result + ((n * channels + c) * height + y) * width;
                for (int64_t x = 0; x < width; x++) to[x] = places[x] < 0 ? (uint8_t)fill : from[places[x]];
            }
        }
    }
}

/* Each row backwards, eight bytes at a time: rows of pictures are short. */
void mirror(int64_t rows, int64_t width, const uint8_t *restrict from, uint8_t *restrict to) {
    for (int64_t row = 0; row < rows; row++, from += width, to += width) {
        int64_t x = 0;
        for (; x + 8 <= width; x += 8) {
            uint64_t eight;
            memcpy(&eight, from + width - 8 - x, 8);
            eight = __builtin_bswap64(eight);
            memcpy(to + x, &eight, 8);
        }
        for (; x < width; x++) to[x] = from[width - 1 - x];
    }
}
