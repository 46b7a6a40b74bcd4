/* dispatch.c: which instruction set's table of operations is in use.
 *
 * Owns: the choice, made once by CPUID and XGETBV, and LECTERN_ISA. Does not own: the tables (ops-*.c).
 */
#include "ops.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { TABLES_MAX = 3 };

static const kern_ops *available[TABLES_MAX]; /* the last is the best */
static size_t n_available;
static char note[160];
static _Atomic(const kern_ops *) chosen;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)
/* Which parts of the registers the operating system saves: bits of XCR0. */
static uint64_t saved_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool has_bits(uint32_t word, uint32_t bits)
{
    return (word & bits) == bits;
}

static void find_tables(void)
{
    enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xe6 };
    const uint32_t need_1c = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29 | 1u << 23; /* FMA, OSXSAVE, AVX, F16C, POPCNT */
    const uint32_t need_7b = 1u << 3 | 1u << 5 | 1u << 8;                          /* BMI1, AVX2, BMI2 */
    const uint32_t need_7b_512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;        /* AVX-512 F, DQ, BW, VL */
    const uint32_t need_7c_512 = 1u << 1 | 1u << 6 | 1u << 11;                     /* VBMI, VBMI2, VNNI */
    uint32_t a, b, c, d, b7, c7, ext_c;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has_bits(c, need_1c)) return;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d) || !has_bits(b7, need_7b)) return;
    if (!__get_cpuid(0x80000001u, &a, &b, &ext_c, &d) || !has_bits(ext_c, 1u << 5)) return; /* LZCNT */
    uint64_t saved = saved_state();
    if ((saved & XCR0_AVX) != XCR0_AVX) return;
    available[n_available++] = &kern_ops_avx2;
    if (!has_bits(b7, need_7b_512) || !has_bits(c7, need_7c_512) || (saved & XCR0_AVX512) != XCR0_AVX512) return;
    available[n_available++] = &kern_ops_avx512;
}
#else
static void find_tables(void) {}
#endif

static const kern_ops *table_named(const char *name)
{
    for (size_t i = 0; i < n_available; i++) {
        if (strcmp(available[i]->name, name) == 0) return available[i];
    }
    return NULL;
}

static void choose(void)
{
    available[n_available++] = &kern_ops_portable;
    find_tables();
    const kern_ops *best = available[n_available - 1];
    const char *wanted = getenv("LECTERN_ISA");
    if (wanted && wanted[0]) {
        const kern_ops *forced = table_named(wanted);
        if (!forced) {
            snprintf(note, sizeof note, "LECTERN_ISA=%.40s is not an instruction set of this machine; using %s", wanted, best->name);
        } else {
            best = forced;
        }
    }
    atomic_store(&chosen, best);
}

const kern_ops *kern_ops_get(void)
{
    const kern_ops *ops = atomic_load_explicit(&chosen, memory_order_acquire);
    if (ops) return ops;
    pthread_once(&once, choose);
    return atomic_load(&chosen);
}

const char *kern_isa_name(void)
{
    return kern_ops_get()->name;
}

const char *kern_isa_note(void)
{
    kern_ops_get();
    return note;
}

size_t kern_isa_available(const char *ret_names[4])
{
    kern_ops_get();
    for (size_t i = 0; i < n_available; i++) ret_names[i] = available[i]->name;
    return n_available;
}

bool kern_isa_force(const char *name)
{
    kern_ops_get();
    const kern_ops *ops = table_named(name);
    if (!ops) return false;
    atomic_store(&chosen, ops);
    return true;
}
