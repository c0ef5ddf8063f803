/* The platform under Linux: words from the arguments, lines to stdout; in C what real.S has in 16-bit code. */
#include <string.h>
#include <unistd.h>
#include "bench.h"

typedef unsigned short u16;

void put(const char *text) { if (write(1, text, strlen(text)) < 0) _exit(1); }

u32 real_sieve(u32 count) {
    static u8 flags[30000];
    u32 sum = 0, size = sizeof flags;
    while (count--) {
        u32 primes = 0;
        memset(flags, 1, size);
        for (u32 i = 2; i < size; i++) if (flags[i]) for (u32 j = 2 * i; j < size; j += i) flags[j] = 0;
        for (u32 i = 2; i < size; i++) primes += flags[i];
        sum = sum * 31 + primes;
    }
    return sum;
}

u32 real_calls(u32 count) {
    u8 table[256];
    u16 ax = 1, dx = 0;
    for (u32 i = 0; i < 256; i++) table[i] = i * 7;
    while (count--) {
        u32 at = ax & 255;
        ax += table[at];
        table[at] = ax >> 8;
        dx += ax;
        dx = dx << 3 | dx >> 13;
        ax ^= dx;
    }
    return (u32)dx << 16 | ax;
}

u32 protected_calls(u32 count) { return real_calls(count); }

u32 protected_ints(u32 count) {
    u16 ax = 1, dx = 0, kept = 0, mine = 0;
    while (count--) {
        ax += kept + 1;
        kept = ax;
        ax = (ax & 0xff00) | (u8)(ax + 0x12);
        ax += mine;
        dx += ax;  /* CF is clear, as the service has left it */
        ax ^= dx;
    }
    return (u32)dx << 16 | ax;
}

int main(int count, char **arguments) {
    static char words[1000];
    for (int i = 1; i < count; i++) strcat(strcat(words, arguments[i]), " ");
    bench(words);
    return 0;
}
