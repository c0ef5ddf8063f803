/* The platform on a bare PC: lines to COM1, the command line from the multiboot information, the end through port F4h, a debug-exit device,
   or else through Bochs' port 8900h. */
#include "bench.h"

static void out(u32 port, u8 value) { __asm__ volatile("outb %0, %w1" : : "a"(value), "Nd"(port)); }
static u8 in(u32 port) { u8 value; __asm__ volatile("inb %w1, %0" : "=a"(value) : "Nd"(port)); return value; }

void put(const char *text) {
    while (*text) {
        while (!(in(0x3fd) & 0x20)) {}
        out(0x3f8, *text++);
    }
    while (!(in(0x3fd) & 0x40)) {}   /* until the last bit has left */
}

void guest_main(const u32 *information) {
    bench((const char *)information[4]);
    out(0xf4, 0x10);
    for (const char *word = "Shutdown"; *word; word++) out(0x8900, *word);
    for (;;) __asm__ volatile("cli; hlt");
}
