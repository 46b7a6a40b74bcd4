/* app-models.h: which models there are and where.
 *
 * Owns: <data>/models (a folder, a NAME.safetensors or a NAME.gguf for each model, private), the models that come with the program
 *       (<resources>/NAME.safetensors), the default choice, importing and removing.
 * Does not own: what is in a model (engine/), loading it (app-engine.h).
 */
#ifndef APP_MODELS_H
#define APP_MODELS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

G_BEGIN_DECLS

#define APP_MODELS_ERROR (app_models_error_quark())
GQuark app_models_error_quark(void);
typedef enum AppModelsError {
    APP_MODELS_ERROR_FAILED,    /* the operating system refused, or the files are not a model this program runs */
    APP_MODELS_ERROR_NOT_FOUND, /* no such model */
    APP_MODELS_ERROR_INVALID,   /* not a name for a model, or a model that cannot be removed */
    APP_MODELS_ERROR_EXISTS,
    APP_MODELS_ERROR_CANCELLED,
    APP_MODELS_ERROR_TOO_LARGE, /* for this machine's memory or disk */
} AppModelsError;

typedef struct AppModel {
    char *name, *path;
    bool shipped; /* comes with the program: cannot be removed */
    uint64_t n_bytes;
} AppModel;
void app_model_free(AppModel *model); /* NULL is fine */

/* Elements AppModel*, freed with the array: the user's own by name, then those that come with the program. */
GPtrArray *app_models_list(const char *data_folder);

/* Path of a model: of a name that the list shows, or of a file or folder. NULL means the default: the starter, else the first of the
 * list. g_free. */
char *app_models_find(const char *data_folder, const char *model, GError **error);

typedef void (*AppModelsProgressFn)(void *user, uint64_t done_bytes, uint64_t total_bytes);

typedef enum AppModelWeights {
    APP_MODEL_WEIGHTS_AS_THEY_ARE = 0, /* the source's files are copied */
    APP_MODEL_WEIGHTS_8_BITS,          /* one compact file; a source that is one already is copied */
    APP_MODEL_WEIGHTS_4_BITS,
} AppModelWeights;

/* What a model would need here. Speeds are estimates from a short measurement: what weights alone allow. */
typedef struct AppModelPlan {
    uint64_t n_parameters, disk_bytes, memory_bytes, cache_bytes_a_token;
    uint32_t n_context;
    uint64_t disk_free_bytes, memory_total_bytes, memory_free_bytes; /* memory 0: not known */
    double answer_tokens_per_s, read_tokens_per_s;
} AppModelPlan;
/* source: also a config.json alone, of a model that is not here yet. */
bool app_models_plan(const char *data_folder, const char *source, AppModelWeights weights, unsigned n_threads, AppModelPlan *ret_plan, GError **error);
/* TOO_LARGE in words when this machine lacks the memory or the disk. */
bool app_models_check_plan(const AppModelPlan *plan, GError **error);
char *app_models_describe_plan(const AppModelPlan *plan); /* one line for people; g_free */
#define APP_MODELS_BESIDE_PREFIX ".import-" /* of a folder below <data>/models that a model is made in; whoever makes it holds a lock on it */
bool app_models_is_packed(const char *source);            /* a compact file */

/* Takes a Hugging Face folder, a GGUF file or a compact file into <data>/models, after opening it to be sure that it runs and checking
 * that this machine can. name: NULL means the source's own. Returns the new name (g_free); on failure or cancellation nothing is left
 * behind. */
char *app_models_import(const char *data_folder, const char *source, const char *name, AppModelWeights weights, const bool *cancel,
                        AppModelsProgressFn progress, void *user, GError **error);

/* False with EXISTS or INVALID: no new model can be called so. */
bool app_models_check_new_name(const char *data_folder, const char *name, GError **error);

/* Moves a folder or a file that lies below <data>/models into its place, after opening it to be sure that it runs. On failure it stays
 * where it is. */
bool app_models_install(const char *data_folder, const char *source, const char *name, GError **error);

bool app_models_remove(const char *data_folder, const char *name, GError **error);

G_END_DECLS

#endif
