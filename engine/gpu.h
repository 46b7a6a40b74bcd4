/* gpu.h: passes on a GPU, for runtime.c, forward.c and session.c.
 *
 * Owns: finding and opening the module (kern-gpu.h), a model's copy on the GPU, the choice between GPU and CPU for each pass, what is
 *       said when a GPU cannot be used or fails.
 * Does not own: the arithmetic (kernels/cuda), what a pass is (runtime.h). Nothing links to CUDA: a machine without it works as if this
 *       file were not there.
 */
#ifndef ENG_GPU_H
#define ENG_GPU_H

#include "kern-gpu.h"
#include "runtime.h"

typedef struct eng_gpu eng_gpu;

/* For tests: the module to use instead of a file's; NULL: the file's again. Not thread-safe. */
void eng_gpu_set_module(const kern_gpu_module *module);

/* Never NULL but for memory: without a usable GPU the result runs nothing and its note says why. n_rows_max: tokens of one pass. */
eng_gpu *eng_gpu_new(const eng_model *model, const eng_runtime_options *options, size_t n_rows_max);
void eng_gpu_free(eng_gpu *gpu);
bool eng_gpu_runs(const eng_gpu *gpu); /* a GPU is there and has not failed */

/* Runs the pass on the GPU. False: the CPU has to run it (nothing that it needs was changed). True: it is done, cancelled (*ret_status). */
bool eng_gpu_forward(eng_gpu *gpu, const eng_pass *pass, const bool *cancel, eng_pass_stats *stats, eng_status *ret_status, eng_error *error);
/* Logits and states of the last pass, if it ran on the GPU; false: it did not, or the GPU failed since, in which case the pass has to be
 * run again on the CPU (eng_gpu_runs is false then). */
bool eng_gpu_logits(eng_gpu *gpu, size_t first_row, size_t n_rows, float *ret_logits);

/* Sections that the next passes will attend to, by layer; they must stay until eng_gpu_forget of anything returns. */
void eng_gpu_prefetch(eng_gpu *gpu, const kern_kv_block *sections_by_layer, size_t n_sections);
/* The host memory of a branch or a section, by its first layer's block, is freed or was written to by the CPU. */
void eng_gpu_forget(eng_gpu *gpu, const void *first_block);
void eng_gpu_get_info(const eng_gpu *gpu, eng_gpu_info *ret_info);

#endif
