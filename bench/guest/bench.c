/* Which kernels there are, how much they do unless told, and the lines a host times: START name, then END name checksum. */
#include "bench.h"

static const struct { const char *name; u32 (*run)(u32); u32 count; } kernels[] = {
    {"sieve", sieve, 400}, {"crc32", crc32, 300}, {"matrix", matrix, 700}, {"quicksort", quicksort, 60}, {"fibonacci", fibonacci, 60},
    {"bytecode", bytecode, 12000000}, {"strings", strings, 16000}, {"x87", x87, 120000}, {"rewrite", rewrite, 60000},
    {"together", together, 5000000}, {"functions", functions, 400}, {"real_sieve", real_sieve, 4000}, {"real_calls", real_calls, 30000000},
    {"protected_calls", protected_calls, 12000000}, {"protected_ints", protected_ints, 7000000},
};

static u8 *append(u8 *to, const char *text) { while (*text) *to++ = *text++; return to; }

static void line(const char *what, const char *name, const u32 *result) {
    u8 text[64], *p = append(append(append(text, what), " "), name);
    if (result) {
        *p++ = ' ';
        for (int shift = 28; shift >= 0; shift -= 4) *p++ = "0123456789abcdef"[*result >> shift & 15];
    }
    *p++ = '\n'; *p = 0;
    put((char *)text);
}

/* After the word `name` in words: its end; or 0 */
static const char *named(const char *words, const char *name) {
    while (*words) {
        while (*words == ' ') words++;
        const char *n = name;
        while (*n && *n == *words) n++, words++;
        if (!*n && (!*words || *words == ' ' || *words == '=')) return words;
        while (*words && *words != ' ') words++;
    }
    return 0;
}

void bench(const char *words) {
    int all = 1;
    for (u32 k = 0; k < sizeof kernels / sizeof *kernels; k++) if (named(words, kernels[k].name)) all = 0;
    for (u32 k = 0; k < sizeof kernels / sizeof *kernels; k++) {
        const char *end = named(words, kernels[k].name);
        u32 count = kernels[k].count, result;
        if (!all && !end) continue;
        if (end && *end == '=') for (count = 0, end++; *end >= '0' && *end <= '9'; end++) count = count * 10 + (*end - '0');
        line("START", kernels[k].name, 0);
        result = kernels[k].run(count);
        line("END", kernels[k].name, &result);
    }
}
