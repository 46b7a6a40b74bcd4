/* rotation.h: orthogonal matrices for keys and queries after RoPE (kern_encode_params), one for each layer and KV head.
 *
 * Owns: the file that holds them and its validation; a model's pointers into it. Measuring them: eng_rotation_measure (eng.h).
 * Does not own: applying them (kernels/), whether they are used (app/).
 *
 * The file is a safetensors file with one tensor, "rotation" F32 [layers][kv heads][d][d], and __metadata__ format, version and
 * weights_sha256: the digest of the weights that it was measured with. Any orthogonal matrix is correct with any weights, but would only
 * by accident be of use: a file of other weights is refused.
 */
#ifndef ENG_ROTATION_H
#define ENG_ROTATION_H

#include "model.h"

typedef struct eng_rotation eng_rotation;

/* Maps and validates against the model's shape and weights. memo_path: see eng_model_options. */
eng_status eng_rotation_open(const char *path, const eng_model *model, const char *memo_path, eng_rotation **ret_rotation, eng_error *error);
void eng_rotation_close(eng_rotation *rotation);
/* Points layers [n_layers] of that model into the mapping, which must outlive them. */
void eng_rotation_apply(const eng_rotation *rotation, const eng_model_info *info, eng_layer *layers);
const eng_digest *eng_rotation_digest(const eng_rotation *rotation);

#endif
