/* cli-bench.h: see cli-bench-cache.c. */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "eng.h"

/* n_sections sections of n tokens: the first is read, the others hold copies of its states under ids of their own. */
eng_status cli_bench_write_cache(eng_runtime *runtime, const char *folder, const uint32_t *ids, uint32_t n, size_t n_sections, eng_error *error);
void cli_bench_forget_pages(const char *folder);
/* Opens that cache, verifies every checksum and runs a question over all of it. */
eng_status cli_bench_first_token(eng_runtime *runtime, const char *folder, const uint32_t *ids, uint32_t n, size_t n_sections, size_t n_question,
                                 eng_error *error);
void cli_bench_remove_folder(const char *folder);

#endif
