/* cli-settings.c: `lectern settings`: shows and changes what is kept between runs.
 *
 * Owns: the command's words; secrets are never printed. Does not own: keys and their validity (app-settings.h).
 */
#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app-settings.h"
#include "cli-internal.h"
#include "cli.h"

static const char *const help =
    N_("Usage: lectern settings\n"
       "       lectern settings KEY\n"
       "       lectern settings KEY VALUE…\n"
       "       lectern settings --unset KEY\n"
       "Shows all settings, one, or changes one. They are kept in a file that only you can read; environment\n"
       "variables go before it. As VALUE, - takes a line from standard input: a token or key given so is neither in\n"
       "the shell's history nor in the list of processes. library.watch takes several folders.\n\n"
       "  --unset KEY      back to the initial value\n");

static const char *const origin_texts[] = {"initial", "file", "environment"};

static char *shown_value(AppSettings *settings, const AppSettingInfo *info)
{
    g_autofree char *value = app_settings_get_text(settings, info->key);
    if (info->kind == APP_SETTING_KIND_SECRET && value[0] != '\0') return g_strdup("(set; not shown)");
    return value[0] != '\0' ? g_strdelimit(g_steal_pointer(&value), "\n", ' ') : g_strdup("(not set)");
}

static json_t *value_json(AppSettings *settings, const AppSettingInfo *info)
{
    g_autofree char *value = app_settings_get_text(settings, info->key);
    switch (info->kind) {
    case APP_SETTING_KIND_SECRET:
        return json_boolean(value[0] != '\0');
    case APP_SETTING_KIND_BOOLEAN:
        return json_boolean(app_settings_get_boolean(settings, info->key));
    case APP_SETTING_KIND_NUMBER:
    case APP_SETTING_KIND_BYTES:
        return json_integer((json_int_t)app_settings_get_number(settings, info->key));
    case APP_SETTING_KIND_FOLDERS: {
        g_auto(GStrv) folders = app_settings_get_folders(settings, info->key);
        json_t *list = json_array();
        for (size_t i = 0; folders[i] != NULL; i++) json_array_append_new(list, json_string(folders[i]));
        return list;
    }
    default:
        return json_string(value);
    }
}

static void print_one(const CliContext *context, AppSettings *settings, const AppSettingInfo *info, bool with_summary)
{
    const char *origin = origin_texts[app_settings_get_origin(settings, info->key)];
    if (context->json) {
        cli_print_json(json_pack("{s:s, s:o, s:s, s:s}", "key", info->key, "value", value_json(settings, info), "from", origin, "summary",
                                 info->summary));
        return;
    }
    g_autofree char *value = shown_value(settings, info), *safe = cli_safe_text(value);
    if (!with_summary)
        printf("%s\n", safe);
    else
        printf("%-18s %s%s\n%18s %s\n", info->key, safe, strcmp(origin, "environment") == 0 ? "   (from the environment)" : "", "", info->summary);
}

static int show_all(const CliContext *context, AppSettings *settings)
{
    size_t n;
    const AppSettingInfo *infos = app_settings_list(&n);
    for (size_t i = 0; i < n; i++) print_one(context, settings, &infos[i], true);
    if (!context->json && !context->quiet) printf("\nKept in %s\n", app_settings_get_path(settings));
    return CLI_OK;
}

static char *read_line(void)
{
    char *line = NULL;
    size_t capacity = 0;
    if (isatty(STDIN_FILENO)) fprintf(stderr, "The value, then Enter: ");
    ssize_t n = getline(&line, &capacity, stdin);
    char *value = n >= 0 ? g_strdup(g_strchomp(line)) : NULL;
    if (line != NULL) memset(line, 0, capacity);
    free(line);
    return value;
}

static int change(const CliContext *context, AppSettings *settings, const AppSettingInfo *info, int n_values, char **values)
{
    GError *error = NULL;
    bool done;
    if (info->kind == APP_SETTING_KIND_FOLDERS) {
        g_autoptr(GPtrArray) folders = g_ptr_array_new_with_free_func(g_free);
        for (int i = 0; i < n_values; i++) g_ptr_array_add(folders, g_canonicalize_filename(values[i], NULL));
        g_ptr_array_add(folders, NULL);
        done = app_settings_set_folders(settings, info->key, (const char *const *)folders->pdata, &error);
    } else if (n_values > 1) {
        return cli_usage("settings", _("%s takes one value; quote it when it holds spaces"), info->key);
    } else {
        g_autofree char *line = strcmp(values[0], "-") == 0 ? read_line() : g_strdup(values[0]);
        if (line == NULL) return cli_usage("settings", _("standard input holds no value"));
        done = app_settings_set(settings, info->key, line, &error);
    }
    if (!done) return cli_fail_error(error);
    if (app_settings_get_origin(settings, info->key) == APP_SETTING_FROM_ENVIRONMENT)
        fprintf(stderr, _("lectern: kept, but the environment variable %s goes before it\n"), info->environment[0]);
    if (context->json) print_one(context, settings, info, false);
    return CLI_OK;
}

static int run(const CliContext *context, AppSettings *settings, const char *unset, int argc, char **argv)
{
    GError *error = NULL;
    const char *key = unset != NULL ? unset : argc > 1 ? argv[1] : NULL;
    if (key == NULL) return show_all(context, settings);
    const AppSettingInfo *info = app_settings_find(key, &error);
    if (info == NULL) return cli_fail_error(error);
    if (unset != NULL && argc > 1) return cli_usage("settings", _("--unset takes no value"));
    if (unset != NULL) return app_settings_set(settings, key, NULL, &error) ? CLI_OK : cli_fail_error(error);
    if (argc > 2) return change(context, settings, info, argc - 2, argv + 2);
    print_one(context, settings, info, false);
    return CLI_OK;
}

int cli_settings(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, help)) return CLI_OK;
    g_autofree char *unset = NULL;
    const GOptionEntry options[] = {{"unset", 0, 0, G_OPTION_ARG_STRING, &unset, NULL, NULL}, {NULL}};
    if (!cli_parse_options("settings", options, &argc, &argv)) return CLI_USAGE;
    GError *error = NULL;
    g_autoptr(AppSettings) settings = app_settings_open(NULL, &error);
    if (settings == NULL) return cli_fail_error(error);
    return run(context, settings, unset, argc, argv);
}

bool cli_apply_settings(CliContext *context)
{
    GError *error = NULL;
    g_autoptr(AppSettings) settings = app_settings_open(NULL, &error);
    if (settings == NULL) {
        cli_fail_error(error);
        return false;
    }
    g_autoptr(GPtrArray) faults = app_settings_list_faults(settings);
    for (guint i = 0; i < faults->len; i++) cli_fail("%s", (const char *)g_ptr_array_index(faults, i));
    g_autofree char *model = app_settings_get_text(settings, APP_SETTING_MODEL);
    if (context->model == NULL && model[0] != '\0') context->model = g_steal_pointer(&model);
    if (context->n_threads == 0) context->n_threads = (unsigned)app_settings_get_number(settings, APP_SETTING_THREADS);
    return true;
}
