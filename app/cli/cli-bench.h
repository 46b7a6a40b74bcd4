/* cli-bench.h: the parts of `lectern bench` (private to app/cli/).
 *
 * Owns: what they share. cli-bench.c reports figures and runs models, cli-bench-attend.c attention alone, cli-bench-book.c a book's own
 * keys, cli-bench-cache.c caches on disk.
 */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include <glib.h>

#include "eng.h"

typedef struct CliBench CliBench;

double cli_bench_median(double *samples, size_t n); /* sorts them */
/* Records a figure: the median of the samples with their spread; prints it with `beside` after it. */
void cli_bench_report(CliBench *bench, const char *name, const char *unit, double *samples, size_t n, const char *beside);

void cli_bench_attend(CliBench *bench, unsigned n_threads, bool gpt2); /* in GPT-2's geometry, or Qwen3-0.6B's */
/* A book's own keys: what bounds on the dropped attention mass make of the answers that `lectern ask` gives. */
typedef struct CliBenchBook {
    const char *path;      /* any document that can be taken in */
    const char *questions; /* a file, one a line; NULL: made of the book's own sentences */
    const char *model;     /* path */
    unsigned n_threads;
    uint32_t n_vocabulary;
} CliBenchBook;
bool cli_bench_book(CliBench *bench, const CliBenchBook *wanted, GError **error);

/* n_sections sections of n tokens: the first is read, the others hold copies of its states under ids of their own. */
eng_status cli_bench_write_cache(eng_runtime *runtime, const char *folder, const uint32_t *ids, uint32_t n, size_t n_sections, eng_error *error);
void cli_bench_forget_pages(const char *folder);
void cli_bench_read_files(const char *folder); /* from beginning to end, and nothing else: what the disk makes of it */
/* Opens that cache, runs a question over all of it, then n_tokens tokens one by one, whose seconds go to
 * ret_seconds. */
eng_status cli_bench_answer(eng_runtime *runtime, const char *folder, const uint32_t *ids, uint32_t n, size_t n_sections, eng_verify verify,
                            size_t n_question, size_t n_tokens, double *ret_seconds, eng_error *error);
/* Bytes of the files in a folder that are in memory. */
uint64_t cli_bench_resident_bytes(const char *folder);
void cli_bench_remove_folder(const char *folder);

#endif
