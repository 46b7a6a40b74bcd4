/* app-calibration.h: how many features of keys and queries a model keeps, as a measured choice.
 *
 * Owns: whether it reads sections in order or each by itself; which settings are tried, on which text, the table, the advice, and the choice
 *       that reading and asking with the model keep to; a file <data>/models/NAME.calibration.json holds them, and beside it
 *       NAME.DIGEST.rotation each rotation of keys that the table was measured with or the choice keeps to.
 * Does not own: measuring (engine/), models (app-models.h). It includes neither eng.h nor kern.h.
 *
 * What was read under one choice has to be read again under another: the number of kept features and the rotation are part of a cache's
 * identity.
 */
#ifndef APP_CALIBRATION_H
#define APP_CALIBRATION_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

G_BEGIN_DECLS

#define APP_CALIBRATION_ERROR (app_calibration_error_quark())
GQuark app_calibration_error_quark(void);
typedef enum AppCalibrationError {
    APP_CALIBRATION_ERROR_FAILED,
    APP_CALIBRATION_ERROR_TEXT,    /* the text is too short or cannot be read */
    APP_CALIBRATION_ERROR_INVALID, /* not a number of features that this model can keep */
    APP_CALIBRATION_ERROR_CANCELLED,
} AppCalibrationError;

typedef struct AppCalibrationRow {
    uint32_t k_key, k_query; /* of head_dim: all of them is dense */
    bool rotated;            /* keys and queries are rotated first, so that more of a key lies in the features kept */
    double perplexity;
    double divergence;   /* mean KL divergence of the next token's distribution from the reference's, nats */
    double agreement;    /* share of tokens whose likeliest next token is the reference's */
    double bytes_per_token;
    double decode_tokens_per_s; /* with about 8,192 tokens cached */
} AppCalibrationRow;

typedef struct AppCalibration {
    char *model, *text; /* text: the file's name */
    int64_t made_s;
    uint64_t n_tokens;  /* compared */
    uint32_t head_dim;
    uint32_t own_k_key, own_k_query; /* the checkpoint's */
    bool trained_sparse;             /* the checkpoint was trained with its k: its dense row is not what it would be as a dense model */
    AppCalibrationRow *rows; /* the first is the reference */
    size_t n_rows, advised;  /* advised: index of a row */
    uint32_t chosen_k_key, chosen_k_query; /* 0: the checkpoint's own */
    char *rotation, *chosen_rotation; /* SHA-256 in hexadecimal of the rotation of the rotated rows, and of the choice; "": none */
    bool chosen_independent; /* sections by themselves, for a checkpoint that was not trained for it: an approximation */
} AppCalibration;
void app_calibration_free(AppCalibration *calibration); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppCalibration, app_calibration_free)

typedef void (*AppCalibrationProgressFn)(void *user, uint64_t done_tokens, uint64_t total_tokens);

/* Zero-initialised: the defaults. */
typedef struct AppCalibrationOptions {
    const char *file;       /* UTF-8 text; NULL: the sample book */
    uint32_t n_tokens;      /* 0: 4,096 */
    bool against_dense;     /* the reference is dense even for a checkpoint that was trained sparse */
    unsigned n_threads;
    const bool *cancel;
    AppCalibrationProgressFn progress;
    void *user;
} AppCalibrationOptions;

/* Measures a rotation of keys on one part of the text, then, on another, dense and k_key of 16, 24, 32, 48, 64, each with as sparse and
 * with dense queries, as they are and rotated, and stores the table; an earlier choice stays. (A text that is too short for two parts serves
 * for both.) model: a name or a path, NULL the default. The advice: of the settings that stay within 3% of the reference's perplexity and
 * agree with it in 9 of 10 tokens, the one that costs fewest bytes, then the one that is rotated where that diverges less, then the faster;
 * else the checkpoint's own. */
AppCalibration *app_calibration_run(const char *data_folder, const char *model, const AppCalibrationOptions *options, GError **error);

/* The stored table and choice; NULL without an error: there is none. */
AppCalibration *app_calibration_load(const char *data_folder, const char *model, GError **error);

/* What reading and asking with this model keep to from now on. 0 and 0: the checkpoint's own. rotated: by the table's rotation, which is
 * kept for as long as it is chosen; INVALID when no table has one. */
bool app_calibration_choose(const char *data_folder, const char *model, uint32_t k_key, uint32_t k_query, bool rotated, GError **error);

/* Whether row `index` of the table is what reading and asking keep to. */
bool app_calibration_is_chosen(const AppCalibration *calibration, size_t index);

/* Whether sections are read each by itself, which lets documents of any length and any number be joined and is an approximation for a
 * checkpoint that was not trained for it; else in order, exactly, up to the model's context. */
bool app_calibration_choose_sections(const char *data_folder, const char *model, bool independent, GError **error);

/* One JSON object without line breaks; g_free. */
char *app_calibration_to_json(const AppCalibration *calibration);

G_END_DECLS

#endif
