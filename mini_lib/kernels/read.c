/* Read memory and do next to nothing with it: the limit of every kernel that reads its weights once. Four streams, and a
   page fetched ahead of each, get more from one thread than a single one does. */
#include <stdint.h>
#include <string.h>
#define STREAMS 4
#define AHEAD 4096
#ifdef __GNUC__
#define PREFETCH __builtin_prefetch
#else
#define PREFETCH(address)
#endif

void read_all(int64_t lines, const uint8_t *restrict from, uint64_t *restrict to) {
    uint64_t seen[STREAMS][8] = {{0}}, all = 0;
    for (int64_t i = 0; i < lines / STREAMS; i++)
        for (int j = 0; j < STREAMS; j++) {
            const uint8_t *line = from + (j * (lines / STREAMS) + i) * 64;
            uint64_t here[8];
            PREFETCH(line + AHEAD);
            memcpy(here, line, 64);
            for (int l = 0; l < 8; l++) seen[j][l] |= here[l];
        }
    for (int j = 0; j < STREAMS; j++)
        for (int l = 0; l < 8; l++) all |= seen[j][l];
    *to = all;
}
