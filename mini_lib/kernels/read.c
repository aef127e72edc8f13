/* Read memory and do next to nothing with it: the limit of every kernel that reads its weights once. One thread gets more
   from memory in four streams side by side than in a single one. */
#include <stdint.h>
#define STREAMS 4
#ifdef __GNUC__
typedef uint64_t line __attribute__((vector_size(64), aligned(1), may_alias));
#define WORDS 1
#else
typedef uint64_t line;
#define WORDS 8
#endif

void read_all(int64_t lines, const line *restrict from, uint64_t *restrict to) {
    line seen[STREAMS] = {0};
    int64_t part = lines / STREAMS * WORDS;
    for (int64_t i = 0; i < part; i++)
        for (int j = 0; j < STREAMS; j++) seen[j] |= from[j * part + i];
    *to = 0;
    for (int j = 0; j < STREAMS; j++)
        for (int l = 0; l < 8 / WORDS; l++) *to |= ((uint64_t *)&seen[j])[l];
}
