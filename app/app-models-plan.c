/* app-models-plan.c: what a model will need, and whether this machine has it.
 *
 * Owns: the estimate before an import, and saying no in words. Does not own: sizes (engine/), importing (app-models.c).
 */
#include "app-models.h"

#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "app-engine-internal.h"
#include "app-format.h"
#include "eng.h"

/* What the program, the system and the caches of others need besides. */
#define MEMORY_BESIDES_BYTES (400ull << 20)
#define DISK_BESIDES_BYTES (64ull << 20)

/* "MemTotal" and the like; 0: not known. */
static uint64_t read_memory_bytes(const char *name)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/meminfo", &text, NULL, NULL)) return 0;
    const char *line = strstr(text, name);
    return line != NULL ? g_ascii_strtoull(line + strlen(name) + 1, NULL, 10) * 1024 : 0;
}

static uint64_t read_disk_bytes(const char *folder)
{
    struct statvfs st;
    g_autofree char *at = g_canonicalize_filename(folder, NULL);
    while (statvfs(at, &st) != 0) { /* not made yet: where it will be */
        if (strcmp(at, "/") == 0) return UINT64_MAX;
        char *parent = g_path_get_dirname(at);
        g_free(at);
        at = parent;
    }
    return (uint64_t)st.f_bavail * st.f_frsize;
}

/* Measured once for a number of threads: a tenth of a second, and the machine stays what it is. */
static eng_status measure_machine(unsigned n_threads, eng_machine *ret_machine, eng_error *error)
{
    static GMutex mutex;
    static eng_machine measured;
    static unsigned measured_threads;
    static bool is_measured;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&mutex);
    if (!is_measured || measured_threads != n_threads) {
        eng_status status = eng_measure_machine(n_threads, &measured, error);
        is_measured = status == ENG_OK;
        measured_threads = n_threads;
        if (status != ENG_OK) return status;
    }
    *ret_machine = measured;
    return ENG_OK;
}

bool app_models_plan(const char *data_folder, const char *source, AppModelWeights weights, unsigned n_threads, AppModelPlan *ret_plan, GError **error)
{
    eng_error engine_error = {0};
    eng_model_needs needs;
    eng_machine machine;
    kern_weight_type type = weights == APP_MODEL_WEIGHTS_4_BITS ? KERN_W_Q4 : KERN_W_Q8;
    bool as_is = weights == APP_MODEL_WEIGHTS_AS_THEY_ARE || app_models_is_packed(source);
    eng_status status = eng_model_get_needs(source, as_is, type, &needs, &engine_error);
    if (status == ENG_OK) status = measure_machine(n_threads, &machine, &engine_error);
    if (status != ENG_OK) {
        g_autofree char *message = app_engine_dup_message(&engine_error);
        g_set_error_literal(error, APP_MODELS_ERROR, APP_MODELS_ERROR_FAILED, message);
        return false;
    }
    *ret_plan = (AppModelPlan){.n_parameters = needs.n_parameters,
                               .disk_bytes = as_is && needs.source_bytes > 0 ? needs.source_bytes : needs.weight_bytes,
                               .memory_bytes = needs.weight_bytes + needs.buffer_bytes + MEMORY_BESIDES_BYTES,
                               .cache_bytes_a_token = needs.cache_bytes_a_token,
                               .n_context = needs.n_context,
                               .disk_free_bytes = read_disk_bytes(data_folder),
                               .memory_total_bytes = read_memory_bytes("MemTotal"),
                               .memory_free_bytes = read_memory_bytes("MemAvailable"),
                               .answer_tokens_per_s = machine.bytes_per_s / (double)MAX(needs.bytes_a_token, 1),
                               .read_tokens_per_s = machine.products_per_s / (double)MAX(needs.products_a_token, 1)};
    return true;
}

bool app_models_check_plan(const AppModelPlan *plan, GError **error)
{
    g_autofree char *disk = app_format_bytes(plan->disk_bytes), *memory = app_format_bytes(plan->memory_bytes);
    if (plan->disk_free_bytes < plan->disk_bytes + DISK_BESIDES_BYTES) {
        g_autofree char *there = app_format_bytes(plan->disk_free_bytes);
        g_set_error(error, APP_MODELS_ERROR, APP_MODELS_ERROR_TOO_LARGE,
                    _("The model takes %s on the disk, and %s are free. Free some, or store it with 4 bits"), disk, there);
        return false;
    }
    if (plan->memory_total_bytes != 0 && plan->memory_bytes > plan->memory_total_bytes) {
        g_autofree char *there = app_format_bytes(plan->memory_total_bytes);
        g_set_error(error, APP_MODELS_ERROR, APP_MODELS_ERROR_TOO_LARGE,
                    _("The model needs about %s of memory, and this machine has %s. Store it with 4 bits, or take a smaller one"), memory, there);
        return false;
    }
    return true;
}

char *app_models_describe_plan(const AppModelPlan *plan)
{
    g_autofree char *disk = app_format_bytes(plan->disk_bytes), *free_disk = app_format_bytes(plan->disk_free_bytes);
    g_autofree char *memory = app_format_bytes(plan->memory_bytes), *all_memory = app_format_bytes(plan->memory_total_bytes);
    g_autofree char *cache = app_format_bytes(plan->cache_bytes_a_token * 1000), *parameters = app_format_count(plan->n_parameters);
    bool is_tight = plan->memory_free_bytes != 0 && plan->memory_bytes > plan->memory_free_bytes;
    return g_strdup_printf("%s parameters; %s on the disk (%s free); about %s of memory (of %s%s); about %.3g tokens/s answering and %.3g reading; "
                           "1,000 tokens read take %s",
                           parameters, disk, free_disk, memory, all_memory, is_tight ? ", not all of it free now" : "", plan->answer_tokens_per_s,
                           plan->read_tokens_per_s, cache);
}
