/* One to three levels of set-associative caches with least recently used lines evicted first: the same
   machine as simulate_plain in cache.py, which is the one to read. A write that misses fetches the line.

   The state is one block of memory that the caller owns (fast_cache.new_state lays it out): this
   struct, and behind it the entries of all levels. An entry is a line's number shifted left by one, with
   the lowest bit set if the line is dirty; -1 stands for no line. The ways of a set lie side by side, the
   most recently used first. */
#ifndef MINI_LIB_CACHESIM_H
#define MINI_LIB_CACHESIM_H
#include <stdint.h>

typedef struct {
    int64_t sets_less_1, ways, start;  /* its entries begin at cachesim.entries[start] */
    int64_t reads, writes, read_misses, write_misses, fills, write_backs;
} cachesim_level;

typedef struct {
    int64_t levels, line_bits;
    cachesim_level level[3];
    int64_t entries[];
} cachesim;

#if defined(__GNUC__)
#define CACHESIM_RARE static __attribute__((noinline, unused))
#define CACHESIM_OFTEN static inline __attribute__((unused))
#else
#define CACHESIM_RARE static
#define CACHESIM_OFTEN static inline
#endif

/* A dirty line leaves a level: the next one that holds it is now dirty; otherwise it goes on to memory.
   That is not a reference: it neither fetches a line nor makes one recent. */
CACHESIM_RARE void cachesim_write_back(cachesim *s, int64_t from, int64_t line) {
    for (; ; from++) {
        s->level[from].write_backs++;
        if (from + 1 == s->levels) return;
        const cachesim_level *below = &s->level[from + 1];
        int64_t *set = s->entries + below->start + (line & below->sets_less_1) * below->ways;
        for (int64_t way = 0; way < below->ways; way++)
            if ((set[way] | 1) == (line << 1 | 1)) {
                set[way] |= 1;
                return;
            }
    }
}

/* Reference one line in one level: 1 if it was not there. It is there afterwards, as the most recent. */
CACHESIM_OFTEN int cachesim_line(cachesim *s, int64_t at, int64_t line, int is_write) {
    cachesim_level *level = &s->level[at];
    const int64_t ways = level->ways, wanted = line << 1 | 1;
    int64_t *set = s->entries + level->start + (line & level->sets_less_1) * ways;
    int64_t moved = set[0];
    if ((moved | 1) == wanted) {
        set[0] = moved | is_write;
        return 0;
    }
    for (int64_t way = 1; way < ways; way++) {  /* each entry moves down by one, until ours is found */
        const int64_t here = set[way];
        set[way] = moved;
        moved = here;
        if ((here | 1) == wanted) {
            set[0] = here | is_write;
            return 0;
        }
    }
    set[0] = line << 1 | is_write;
    level->fills++;
    if ((moved & 1) && moved != -1) cachesim_write_back(s, at, moved >> 1);
    return 1;
}

/* The levels below the first, after a miss there. An access that straddles lines is one reference to all
   of them, and one miss if any is missing. Returns who served it: 2, 3, or 1 + levels for memory. */
CACHESIM_RARE int cachesim_below(cachesim *s, int64_t first, int64_t last, int is_write) {
    for (int64_t at = 1; at < s->levels; at++) {
        int missing = 0;
        if (is_write) s->level[at].writes++;
        else s->level[at].reads++;
        /* below the first level a line turns dirty when it is written back, not when it is fetched */
        for (int64_t line = first; line <= last; line++) missing |= cachesim_line(s, at, line, 0);
        if (!missing) return (int)at + 1;
        if (is_write) s->level[at].write_misses++;
        else s->level[at].read_misses++;
    }
    return (int)s->levels + 1;
}

/* One access. Returns the level that served it, from 1; 1 + levels for memory. */
CACHESIM_OFTEN int cachesim_touch(cachesim *s, int64_t address, int64_t size, int is_write) {
    const int64_t first = address >> s->line_bits, last = (address + size - 1) >> s->line_bits;
    int missing = cachesim_line(s, 0, first, is_write);
    if (is_write) s->level[0].writes++;
    else s->level[0].reads++;
    for (int64_t line = first + 1; line <= last; line++) missing |= cachesim_line(s, 0, line, is_write);
    if (!missing) return 1;
    if (is_write) s->level[0].write_misses++;
    else s->level[0].read_misses++;
    return cachesim_below(s, first, last, is_write);
}
#endif
