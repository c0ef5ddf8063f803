/* The bench's guest kernels: each is a function of how much to do, and returns a checksum. The same objects are linked into a multiboot
   image (start.S, guest.c, real.S) and a Linux program (native.c), so all that is timed is the same machine code. */
typedef unsigned int u32;
typedef unsigned char u8;

u32 sieve(u32), crc32(u32), matrix(u32), quicksort(u32), fibonacci(u32), bytecode(u32), strings(u32), x87(u32), rewrite(u32), together(u32), functions(u32);
u32 real_sieve(u32), real_calls(u32), protected_calls(u32), protected_ints(u32);  /* the platform's, for only a bare PC has real mode and segments */

void put(const char *text);        /* the platform's: writes a line, all of it, now */
void bench(const char *words);     /* runs the kernels named in words: "sieve crc32=5", all of them where none is */

static inline u32 next(u32 *seed) { return *seed = *seed * 1664525 + 1013904223; }
