/* eng.h: the one public header of engine/.
 *
 * Owns: model files, tokenizer, forward pass, sections, sessions, cache files and their SQLite index.
 * Does not own: documents, where texts come from, what is asked or shown (app/); arithmetic (kernels/).
 *
 * Contract. Nothing here prints or exits. Functions that can fail return an eng_status and, if `error` is not NULL, fill it
 * with a message for people that names the file and the reason. ret_ arguments are untouched on failure. *_free and *_close
 * take NULL. Strings are UTF-8. An eng_model and an eng_cache may be used by many threads; an eng_runtime, an eng_session, an
 * eng_store and an eng_record by one at a time.
 */
#ifndef ENG_H
#define ENG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kern.h"

typedef enum eng_status {
    ENG_OK = 0,
    ENG_NO_MEMORY,
    ENG_IO,          /* the operating system refused; the message has its words */
    ENG_NO_SPACE,    /* disk full, or the cache's byte budget cannot be met */
    ENG_BAD_FILE,    /* a file is damaged, hostile or not what it claims */
    ENG_UNSUPPORTED, /* well-formed, but not something this program runs */
    ENG_NOT_FOUND,
    ENG_MISS,        /* the cache has no valid entry; the message is the reason */
    ENG_BUSY,        /* another process holds it */
    ENG_LIMIT,       /* an argument or the input exceeds a stated limit */
    ENG_CANCELLED,
} eng_status;

enum { ENG_MESSAGE_BYTES = 512 };

typedef struct eng_error {
    eng_status status;
    char message[ENG_MESSAGE_BYTES]; /* English */
    /* What the message was made of, for whoever says it in another language. */
    const char *format; /* constant; NULL: nothing is known */
    unsigned n_arguments;
    char arguments[ENG_MESSAGE_BYTES]; /* as they stand in the message, in its order, each ended by a NUL */
} eng_error;

/* For callers inside engine/ and above: fills *error (NULL is fine) and returns status. The format is of printf, with %s, %d, %u and %g. */
eng_status eng_fail(eng_error *error, eng_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same failure again, under that status. */
eng_status eng_fail_as(eng_error *error, eng_status status, const eng_error *from);
const char *eng_errno_text(int error_number); /* the C library's words, in English: it translates them itself, in its own domain */
/* A text that comes into messages as it is: marks it for translation. */
#define ENG_TEXT(TEXT) TEXT

typedef struct eng_digest { uint8_t bytes[32]; } eng_digest; /* SHA-256 */
void eng_sha256(const void *data, size_t n_bytes, eng_digest *ret_digest);
eng_status eng_sha256_file(const char *path, const bool *cancel, eng_digest *ret_digest, eng_error *error);
void eng_digest_text(const eng_digest *digest, char ret_text[65]);

/* done and total in the unit that the function states. Called on the working thread, at most every 20 ms and at the end. */
typedef void (*eng_progress_fn)(void *user, uint64_t done, uint64_t total);

/* ------------------------------------------------------------------------------------------------------------- models */

typedef struct eng_model eng_model;

typedef enum eng_section_mode {
    ENG_SECTIONS_INDEPENDENT = 0, /* section mode: ends at end_position, attends to itself alone */
    ENG_SECTIONS_CONTINUOUS,      /* a section also attends to all before it in the document */
} eng_section_mode;

typedef enum eng_reply_form {
    ENG_REPLY_FREE = 0,          /* chat models: quotations are looked up afterwards */
    ENG_REPLY_QUOTATION_ANSWER,  /* '"quotation"\nanswer' */
    ENG_REPLY_ANSWER,            /* the span alone, bound to the text */
} eng_reply_form;

/* Whether a chat model thinks in a block <think>…</think> before it answers. */
typedef enum eng_thinking {
    ENG_THINKING_NONE = 0,
    ENG_THINKING_OPTIONAL, /* if asked to: otherwise the prompt holds an empty block */
    ENG_THINKING_ALWAYS,   /* the prompt opens the block */
} eng_thinking;

typedef struct eng_model_info {
    const char *name; /* the folder's or file's name, or the name in a compact file */
    const char *path;
    const char *weight_types; /* "bf16", "q8", ... */
    uint64_t n_parameters, file_bytes;
    uint32_t n_layers, n_hidden, n_heads, n_kv_heads, head_dim, n_ffn, n_vocabulary, n_context;
    bool tied_embeddings;
    kern_kv_format kv_format;
    eng_section_mode section_mode;
    uint32_t section_tokens_max; /* L: at most this many tokens a section; a question starts at end_position */
    uint32_t end_position;       /* P */
    bool sections_approximate;   /* independent sections of a checkpoint that was not trained for them */
    eng_reply_form reply_form;
    const char *absent_reply;    /* what the model says when the answer is not there; NULL: nothing special */
    eng_thinking thinking;
    float temperature, top_p; /* as the checkpoint advises; 0: it does not */
    eng_digest weights_sha256, tokenizer_sha256;
    bool rotated; /* keys and queries are rotated before their largest features are kept, by what has this digest */
    eng_digest rotation_sha256;
} eng_model_info;

/* Options that are part of a cache's identity. Zero-initialised: as the checkpoint says. */
typedef struct eng_model_options {
    kern_value_type value_type;
    bool value_type_set;
    kern_key_type key_type;
    bool key_type_set;
    uint16_t k_key, k_query; /* 0: the checkpoint's */
    eng_section_mode section_mode; /* independent: an approximation where the checkpoint was not trained for it */
    bool section_mode_set;
    const char *rotation_path; /* a file by eng_rotation_measure for these weights; NULL: no rotation */
    /* Quantised blocks of a GGUF file as f32, value for value, instead of the kernels' 8 bits: tests. Not part of the identity. */
    bool expand_blocks;
    /* A file in which digests of large weight files are remembered by path, size, inode and modification time, so that they are
     * not read whole at each start. NULL: always computed. */
    const char *digest_memo_path;
} eng_model_options;

/* path: a Hugging Face folder (config.json, tokenizer.json, model.safetensors or model.safetensors.index.json; generation_config.json
 * and the chat template where they are), a GGUF file of architecture qwen3, or a compact file made by eng_model_pack. Weights are mapped,
 * never copied where their layout allows; a GGUF file's quantised blocks are turned into the kernels' 8 bits (Q4_0: 4 bits, exactly) at
 * each opening, which packing spares. Everything is validated here. */
eng_status eng_model_open(const char *path, const eng_model_options *options, eng_model **ret_model, eng_error *error);
void eng_model_close(eng_model *model);
const eng_model_info *eng_model_get_info(const eng_model *model);

/* Writes the compact form of a Hugging Face folder or a GGUF file to `to`: one safetensors file with 8-bit (KERN_W_Q8) or 4-bit matrices in
 * kernels' panel layout, f32 norms, config.json and tokenizer.json inside. Atomic: written beside, synced, renamed. Progress in
 * bytes of source weights. */
eng_status eng_model_pack(const char *source, const char *to, kern_weight_type type, const bool *cancel, eng_progress_fn progress, void *user,
                          eng_error *error);

/* What a model will need, from its shapes: nothing is quantised or read whole. as_is: weights as the source has them (blocks of a GGUF
 * file: as 8 bits in memory); else packed to `type`. path: a model, or a config.json alone, before there are weights (as_is: of 16 bits;
 * source_bytes 0). */
typedef struct eng_model_needs {
    uint64_t n_parameters, source_bytes;
    uint64_t weight_bytes, buffer_bytes; /* in memory; weights also on the disk when packed */
    uint64_t cache_bytes_a_token;
    uint64_t bytes_a_token;    /* of weights that one token of an answer reads */
    uint64_t products_a_token; /* multiplications of one token that is read, without attention */
    uint32_t n_context;
} eng_model_needs;
eng_status eng_model_get_needs(const char *path, bool as_is, kern_weight_type type, eng_model_needs *ret_needs, eng_error *error);

uint64_t eng_model_bytes_a_token(const eng_model *model); /* the same of an open model */

/* How fast this machine goes through 8-bit weights for one token, and multiplies for many. Takes about a tenth of a second. */
typedef struct eng_machine {
    double bytes_per_s, products_per_s;
} eng_machine;
eng_status eng_measure_machine(unsigned n_threads, eng_machine *ret_machine, eng_error *error);

/* A model of random 8-bit weights in a known geometry ("qwen3-0.6b", "starter", "gpt2", …), without a tokenizer: for benchmarks and
 * tests. Queries are scaled by `sharpness`: 1 leaves the softmax flat, about 12 lets 1% of the keys hold 99% of the mass. */
eng_status eng_model_random(const char *geometry, float sharpness, eng_model **ret_model, eng_error *error);

/* One line a reason when two models' caches do not fit each other; empty when they do. The identity is the text form of all
 * that a cache depends on besides the token ids: digests, format of keys and values, rope, section rule, format version. */
const char *eng_model_identity(const eng_model *model);
void eng_identity_difference(const char *stored, const char *wanted, char *ret_reason, size_t n_bytes);

/* ---------------------------------------------------------------------------------------------------------- tokenizer */

typedef struct eng_tokens {
    uint32_t *ids; /* owned; free with eng_tokens_clear */
    size_t n, capacity;
} eng_tokens;
void eng_tokens_clear(eng_tokens *tokens);

/* Appends the tokens of text. Added tokens ("<|im_end|>") in the text become single tokens only if parse_added: the text of
 * documents and questions is untrusted, so pass false there. Invalid UTF-8 is replaced by U+FFFD and the text normalised (NFC)
 * as the reference implementation does. */
eng_status eng_tokenize(const eng_model *model, const char *text, size_t n_bytes, bool parse_added, eng_tokens *tokens, eng_error *error);
/* The bytes a token stands for (borrowed; may be part of a character); NULL and 0 for an id out of range. */
const char *eng_token_bytes(const eng_model *model, uint32_t id, size_t *ret_n_bytes);
typedef enum eng_special { ENG_TOKEN_END, ENG_TOKEN_START, ENG_TOKEN_STOP } eng_special; /* <|endoftext|>, <|im_start|>, <|im_end|> */
uint32_t eng_special_token(const eng_model *model, eng_special special);
bool eng_token_stops(const eng_model *model, uint32_t id); /* a reply ends here */
/* One turn in the model's chat form (Qwen3's template): <|im_start|>user\n…<|im_end|>\n<|im_start|>assistant\n, before it the system's
 * words if there are any; then an earlier turn's reply and its end, or for the turn to answer now what the model's thinking wants: an empty
 * block where it may think and should not, an opened one where it always does. */
typedef struct eng_chat_turn {
    const char *system; /* NULL: none; before the first turn only */
    const char *question;
    const char *reply; /* an earlier turn's, without what was thought; NULL: this is to be answered */
    bool think;        /* where the model leaves it open */
} eng_chat_turn;
eng_status eng_chat_tokens(const eng_model *model, const eng_chat_turn *turn, eng_tokens *tokens, eng_error *error);
/* The whole prompt of a question by itself, not thinking. */
eng_status eng_prompt_tokens(const eng_model *model, const char *question, eng_tokens *tokens, eng_error *error);

/* ------------------------------------------------------------------------------------------------------------ runtime */

/* What runs a model: threads, scratch, buffers for activations. One stream of work at a time. */
typedef struct eng_runtime eng_runtime;
typedef enum eng_gpu_use {
    ENG_GPU_AUTO = 0, /* where there is one that the module runs on and that has room for the model */
    ENG_GPU_NEVER,
    ENG_GPU_WANTED,   /* eng_runtime_new fails with the reason where it cannot be used; later failures are as with ENG_GPU_AUTO */
} eng_gpu_use;
typedef struct eng_runtime_options {
    unsigned n_threads; /* 0: all processors of the affinity mask */
    bool pin_threads;
    eng_gpu_use gpu;
    uint64_t gpu_memory_bytes; /* for sections in GPU memory; 0: what the model leaves of it but for a tenth */
    bool gpu_measures; /* for benchmarks: copy_bytes_s and attend_s below */
} eng_runtime_options;
eng_status eng_runtime_new(eng_model *model, const eng_runtime_options *options, eng_runtime **ret_runtime, eng_error *error);
void eng_runtime_free(eng_runtime *runtime);
eng_model *eng_runtime_model(eng_runtime *runtime);
/* *cancel is polled within a layer's work; when true, calls in progress return ENG_CANCELLED. NULL: never. */
void eng_runtime_set_cancel(eng_runtime *runtime, const bool *cancel);
/* Since the runtime was made. What ran and was of no branch (a session's or a ranking's own tokens) was of documents. */
typedef struct eng_runtime_stats {
    uint64_t tokens_run; /* through the whole model, counted where it is run */
    uint64_t tokens_of_branches;
} eng_runtime_stats;
void eng_runtime_get_stats(const eng_runtime *runtime, eng_runtime_stats *ret_stats);

/* Where passes run. A GPU that fails in the middle of an answer (its memory, its driver, the device itself) is given up: the pass is run
 * again by the CPU, with the same cached states, and so are all later ones; the note says so. */
typedef struct eng_gpu_info {
    bool active;    /* passes run on the GPU now */
    bool failed;    /* one was used and given up */
    char name[128]; /* "NVIDIA H200"; "" when none was used */
    char note[ENG_MESSAGE_BYTES]; /* for people: why none is used, what failed, what is slower than it could be; "" when nothing is */
    uint64_t weight_bytes, section_budget_bytes, section_used_bytes; /* of its memory */
    uint64_t passes, passes_on_cpu; /* passes on_cpu: that should have run on the GPU */
    uint64_t section_bytes_uploaded, sections_found, sections_uploaded, sections_evicted;
    uint64_t streamed_bytes; /* of sections beyond the budget, sent through the GPU's memory once a pass */
    double streamed_s;       /* the time of those passes */
    double copy_bytes_s, attend_s; /* its memory, read and written a second; its attention in all passes so far; 0 unless asked for */
} eng_gpu_info;
void eng_runtime_get_gpu(const eng_runtime *runtime, eng_gpu_info *ret_info);

/* A section's cached states: for each layer a block that kernels read in place. Borrowed from the record that holds it. */
typedef struct eng_section {
    const uint32_t *ids; /* n_tokens, including the leading <|endoftext|> */
    uint32_t n_tokens;
    const kern_kv_block *blocks; /* [n_layers] */
    struct eng_store_view *view; /* the cache's: what a session still has to verify (ENG_VERIFY_LATER); NULL: nothing */
} eng_section;

/* Reads sections: computes the keys and values of each and stores them in its `blocks` (writable, sized by eng_section_bytes).
 * Several short sections given together run as one batch. `before`: in continuous mode, the sections that precede (NULL else).
 * ret_mean_nll: if not NULL, the mean negative log likelihood of each section's own text (slower: tests and calibration). */
typedef struct eng_read_job {
    const uint32_t *ids;
    uint32_t n_tokens;
    void *const *blocks; /* [n_layers], each kern_kv_layout_of(format, n_kv_heads, eng_section_capacity(n_tokens)).total_bytes */
    const eng_section *before;
    size_t n_before;
    float *ret_logits;      /* NULL, or [n_tokens][n_vocabulary]: tests */
    uint32_t first_position; /* UINT32_MAX: by the section rule */
} eng_read_job;
uint32_t eng_section_capacity(uint32_t n_tokens); /* rounded up to KERN_UNIT_TOKENS */
eng_status eng_read(eng_runtime *runtime, const eng_read_job *jobs, size_t n_jobs, eng_error *error);

/* ------------------------------------------------------------------------------------------------------------ sessions */

/* A branch over shared, read-only sections: it holds only its own suffix (question, reply, further turns). */
typedef struct eng_session eng_session;
/* The sections and what they borrow from must outlive the session. n_suffix_max: most tokens of its own. Sections that are to be verified
 * later (ENG_VERIFY_LATER) are read in and verified by the first eng_session_eval, which uses their stores. ENG_MISS: a file was replaced
 * since its sections were found. */
eng_status eng_session_new(eng_runtime *runtime, const eng_section *sections, size_t n_sections, size_t n_suffix_max,
                           eng_session **ret_session, eng_error *error);
void eng_session_free(eng_session *session);
/* Runs tokens at the end of the branch. *ret_logits [n_vocabulary] belong to the session until its next call and are those after
 * the last token. The first call computes while sections come in and are verified, and returns logits when all of them hold; ENG_MISS (one is
 * damaged; its store knows from then on), ENG_IO: the session is of no further use. After another failure (ENG_CANCELLED, ENG_NO_MEMORY) the
 * session is as long as before, and the call may be made again. */
eng_status eng_session_eval(eng_session *session, const uint32_t *ids, size_t n, const float **ret_logits, eng_error *error);
size_t eng_session_n_suffix(const eng_session *session);
void eng_session_truncate(eng_session *session, size_t n_suffix); /* back to an earlier length: a branch point */
void eng_session_set_drop_mass(eng_session *session, float drop_mass); /* see kern_attend_params; default 0.001, 0: exact */
/* The logits of every one of n tokens [n][n_vocabulary] (tests and forced replies). */
eng_status eng_session_eval_all(eng_session *session, const uint32_t *ids, size_t n, float *ret_logits, eng_error *error);

typedef struct eng_session_stats {
    uint64_t tokens_cached;   /* of the sections attended to */
    uint64_t tokens_computed; /* run through the model in this session */
    uint64_t value_rows, value_rows_read;
    double dropped_mass_max;
} eng_session_stats;
/* Value rows and dropped mass are 0 until all sections hold. */
void eng_session_get_stats(const eng_session *session, eng_session_stats *ret_stats);

/* Attention mass of the session's tokens so far, by section and part of KERN_MASS_TOKENS tokens, averaged over heads and the
 * layers that retrieve (all of them by default). Off until switched on; switching on clears. */
void eng_session_record_mass(eng_session *session, bool on);
/* Parts of section `index`: ret_mass borrowed until the next call on the session. None (NULL) until all sections hold. */
void eng_session_get_mass(const eng_session *session, size_t index, const float **ret_mass, size_t *ret_n_parts);

/* Ranks sections by the model's own key codes: runs `ids` over `session`'s sections and scores every section of `all` with the
 * queries of each layer. ret_scores [n_all]: higher is better. Values of `all` are not read. */
eng_status eng_rank_sections(eng_runtime *runtime, const eng_section *base, size_t n_base, const uint32_t *ids, size_t n_ids,
                             const eng_section *all, size_t n_all, float *ret_scores, eng_error *error);

/* Sampling. temperature 0: greedy (ties: lowest id). state: any seed, advanced. */
typedef struct eng_sampling {
    float temperature, top_p, min_p;
    uint32_t top_k;
    uint64_t state;
} eng_sampling;
uint32_t eng_sample(eng_sampling *sampling, const float *logits, size_t n_vocabulary);

/* --------------------------------------------------------------------------------------------------------- calibration */

/* Measures on a text how to rotate each KV head's keys (and queries, by the same) after RoPE so that their energy lies in few features,
 * and writes it to `path` (0600; atomic). Progress in tokens. */
typedef struct eng_rotation_options {
    const uint32_t *ids; /* a text, without special tokens */
    size_t n_ids;
    unsigned n_threads;
    const bool *cancel;
    eng_progress_fn progress;
    void *user;
} eng_rotation_options;
eng_status eng_rotation_measure(const eng_model *model, const eng_rotation_options *options, const char *path, eng_error *error);

/* How a model does on a text when only k_key features of a key and k_query of a query are kept (head_dim: all, dense). */
typedef struct eng_calibration_row {
    uint16_t k_key, k_query; /* given */
    bool rotated;            /* given: with the rotation below */
    uint64_t n_tokens;       /* compared */
    double perplexity;
    double kl_nats;       /* mean divergence of the next token's distribution from the first row's */
    double top_agreement; /* share of tokens whose likeliest next token is the first row's */
    double bytes_per_token; /* of the cache */
    double decode_tokens_per_s; /* with about 8,192 tokens cached */
} eng_calibration_row;

typedef struct eng_calibration_options {
    const uint32_t *ids; /* a text, without special tokens; taken in windows of section_tokens_max */
    size_t n_ids;
    const char *rotation_path; /* for rows that are rotated */
    unsigned n_threads;
    const bool *cancel;       /* NULL: never */
    eng_progress_fn progress; /* tokens times rows; NULL: none */
    void *user;
} eng_calibration_options;

/* Fills the rows; the first is what the others are compared with. */
eng_status eng_calibrate(const eng_model *model, const eng_calibration_options *options, eng_calibration_row *rows, size_t n_rows,
                         eng_error *error);

/* --------------------------------------------------------------------------------------------------------------- cache */

/* A folder (0700) of cache files (0600), one for each (document, model), and index.sqlite (WAL). Files are the truth: the index
 * can be rebuilt from them. Many processes may use one folder. See engine/cache-format.h for the bytes. */
typedef struct eng_cache eng_cache;
typedef struct eng_cache_options {
    uint64_t budget_bytes; /* 0: as stored in the index (default 20 GB) */
} eng_cache_options;
eng_status eng_cache_open(const char *folder, const eng_cache_options *options, eng_cache **ret_cache, eng_error *error);
void eng_cache_close(eng_cache *cache);

/* One document's sections under one model. `document` is the caller's name for it: 1 to 64 bytes of [A-Za-z0-9_-]. */
typedef struct eng_store eng_store;
/* Opens for reading and appending; creates nothing on disk until the first commit. One process appends at a time: a second one's
 * commit waits, sees what the first wrote and keeps one copy. */
eng_status eng_store_open(eng_cache *cache, const eng_model *model, const char *document, eng_store **ret_store, eng_error *error);
void eng_store_close(eng_store *store); /* records obtained from it become invalid */

/* Whether a record's payload is compared with its checksum, at its first use in a process. */
typedef enum eng_verify {
    ENG_VERIFY_NOT = 0,
    ENG_VERIFY_NOW,
    ENG_VERIFY_LATER, /* by the session that it is given to, beside its first pass: for a cold cache, the time of one reading of the file */
} eng_verify;

/* The valid record of exactly these tokens after exactly this prefix (NULL: none, as in section mode). ENG_MISS with the reason:
 * never read, other model (and what differs), damaged (which checksum). Checks the header and, with ENG_VERIFY_NOW, the payload's
 * checksum; the ids are compared, not only their hash. Only if it is verified, now or later, it counts as a use of the file, which puts
 * off its eviction. */
eng_status eng_store_find(eng_store *store, const eng_digest *prefix, const uint32_t *ids, uint32_t n_tokens, eng_verify verify,
                          eng_section *ret_section, eng_error *error);

/* Writing: begin gives memory for each layer's block; commit writes and checksums it. It is visible to others only after
 * eng_store_sync (fsync, then the index row); commit syncs by itself once a second or 64 MB. An uncommitted record is freed by
 * eng_record_free. */
typedef struct eng_record eng_record;
eng_status eng_record_begin(eng_store *store, const eng_digest *prefix, const uint32_t *ids, uint32_t n_tokens, eng_record **ret_record,
                            eng_error *error);
void *const *eng_record_blocks(eng_record *record); /* [n_layers] */
eng_status eng_record_commit(eng_record *record, eng_error *error); /* frees the record, also on failure */
void eng_record_free(eng_record *record);
eng_status eng_store_sync(eng_store *store, eng_error *error);
/* Drops all records except the n with these token hashes (eng_ids_digest): what a changed document no longer has. Space comes back
 * when the file is rewritten, which this does if more than a quarter would be waste. */
eng_status eng_store_keep_only(eng_store *store, const eng_digest *digests, size_t n, eng_error *error);
void eng_ids_digest(const eng_digest *prefix, const uint32_t *ids, uint32_t n_tokens, eng_digest *ret_digest);
uint64_t eng_record_bytes(const eng_model *model, uint32_t n_tokens); /* on disk, padding included */

typedef struct eng_cache_entry {
    char document[65];
    char model_name[128];
    char identity_digest[65];
    uint64_t n_sections, n_tokens, n_bytes;
    int64_t created_s, used_s; /* Unix time */
    bool pinned, damaged;
    char note[ENG_MESSAGE_BYTES]; /* why damaged or stale, "" else */
} eng_cache_entry;
typedef bool (*eng_cache_visit_fn)(void *user, const eng_cache_entry *entry); /* false: stop */
eng_status eng_cache_list(eng_cache *cache, eng_cache_visit_fn visit, void *user, eng_error *error);
eng_status eng_cache_remove(eng_cache *cache, const char *document, eng_error *error); /* all models; deletes the bytes */
eng_status eng_cache_pin(eng_cache *cache, const char *document, bool pinned, eng_error *error);
eng_status eng_cache_touch(eng_cache *cache, const char *document, const eng_model *model, eng_error *error);
/* Sets the budget and evicts least recently used unpinned files until it holds. */
eng_status eng_cache_set_budget(eng_cache *cache, uint64_t budget_bytes, uint64_t *ret_freed_bytes, eng_error *error);
uint64_t eng_cache_get_budget(eng_cache *cache);
uint64_t eng_cache_used_bytes(eng_cache *cache);

typedef struct eng_cache_report {
    uint64_t n_files, n_records, n_bytes;
    uint64_t n_damaged_files, n_damaged_records, n_unindexed, n_missing_files, n_orphan_bytes;
} eng_cache_report;
typedef void (*eng_cache_finding_fn)(void *user, const char *file, uint64_t offset, const char *what);
/* Looks at every file: headers, index against files; with read_data also every payload's checksum. Changes nothing. Progress in bytes. */
eng_status eng_cache_check(eng_cache *cache, bool read_data, eng_cache_finding_fn finding, eng_progress_fn progress, void *user,
                           const bool *cancel, eng_cache_report *ret_report, eng_error *error);
/* As check, and deletes what is damaged (records by rewriting their file without them). Never changes a valid record. */
eng_status eng_cache_repair(eng_cache *cache, bool read_data, eng_cache_finding_fn finding, eng_progress_fn progress, void *user,
                            const bool *cancel, eng_cache_report *ret_report, eng_error *error);
/* Throws the index away and makes it anew from the files. */
eng_status eng_cache_rebuild_index(eng_cache *cache, eng_cache_report *ret_report, eng_error *error);

#endif
