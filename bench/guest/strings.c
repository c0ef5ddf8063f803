/* REP MOVS and REP STOS: large and small, by bytes and by words of 32 bits, aligned and not. */
#include "bench.h"

static void move_bytes(void *to, const void *from, u32 n) { __asm__ volatile("cld; rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); }
static void move_words(void *to, const void *from, u32 n) { __asm__ volatile("cld; rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); }
static void fill_words(void *to, u32 value, u32 n) { __asm__ volatile("cld; rep stosl" : "+D"(to), "+c"(n) : "a"(value) : "memory"); }
static void fill_bytes(void *to, u32 value, u32 n) { __asm__ volatile("cld; rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory"); }

u32 strings(u32 n) {
    enum { SIZE = 65536 };
    static u8 a[SIZE + 64], b[SIZE + 64];
    u32 sum = 0;
    while (n--) {
        fill_words(a, n * 0x01010101, SIZE / 4);
        for (u32 i = 0; i < SIZE; i += 4096) fill_bytes(a + i + 7, i >> 8, 20);
        move_words(b, a, SIZE / 4);
        move_bytes(a + 3, b + 1, SIZE / 4);
        for (u32 i = 0; i < 64; i++) move_bytes(b + i * 997, a + i * 31, 5 + (i & 15));
        for (u32 i = 0; i < SIZE; i += 1009) sum = sum * 31 + a[i] + b[i];
    }
    return sum;
}
