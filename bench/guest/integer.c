/* Sieve of Eratosthenes, CRC-32 by table, matrix product, quicksort, recursive Fibonacci. */
#include "bench.h"

u32 sieve(u32 n) {
    enum { SIZE = 500000 };
    static u8 composite[SIZE];
    u32 sum = 0;
    while (n--) {
        for (u32 i = 0; i < SIZE; i++) composite[i] = 0;
        for (u32 i = 2; i < SIZE; i++) {
            if (composite[i]) continue;
            sum += i ^ n;
            for (u32 j = i * 2; j < SIZE; j += i) composite[j] = 1;
        }
    }
    return sum;
}

u32 crc32(u32 n) {
    enum { SIZE = 1 << 20 };
    static u8 data[SIZE];
    static u32 table[256];
    u32 seed = 1, crc = ~0u;
    for (u32 i = 0; i < 256; i++) {
        u32 c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
        table[i] = c;
    }
    for (u32 i = 0; i < SIZE; i++) data[i] = next(&seed) >> 24;
    while (n--) for (u32 i = 0; i < SIZE; i++) crc = table[(crc ^ data[i]) & 255] ^ crc >> 8;
    return ~crc;
}

u32 matrix(u32 n) {
    enum { SIZE = 96 };
    static u32 a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];
    u32 seed = 2, sum = 0;
    for (int i = 0; i < SIZE; i++) for (int j = 0; j < SIZE; j++) a[i][j] = next(&seed), b[i][j] = next(&seed);
    while (n--) {
        for (int i = 0; i < SIZE; i++)
            for (int j = 0; j < SIZE; j++) {
                u32 s = 0;
                for (int k = 0; k < SIZE; k++) s += a[i][k] * b[k][j];
                c[i][j] = s;
            }
        sum = sum * 31 + c[n % SIZE][n % 7];
        a[n % SIZE][n % 11] += sum;
    }
    return sum;
}

static void sort(int *low, int *high) {
    while (low < high) {
        int *i = low, *j = high, pivot = low[(high - low) / 2];
        while (i <= j) {
            while (*i < pivot) i++;
            while (*j > pivot) j--;
            if (i <= j) { int t = *i; *i++ = *j; *j-- = t; }
        }
        if (j - low < high - i) { sort(low, j); low = i; } else { sort(i, high); high = j; }
    }
}

u32 quicksort(u32 n) {
    enum { SIZE = 200000 };
    static int data[SIZE];
    u32 seed = 3, sum = 0;
    while (n--) {
        for (int i = 0; i < SIZE; i++) data[i] = next(&seed);
        sort(data, data + SIZE - 1);
        for (int i = 0; i < SIZE; i += 997) sum = sum * 31 + data[i];
    }
    return sum;
}

static __attribute__((noinline, noclone, optimize("no-optimize-sibling-calls,no-inline"))) u32 fib(u32 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

u32 fibonacci(u32 n) {
    u32 sum = 0;
    while (n--) sum += fib(30) + n;
    return sum;
}
