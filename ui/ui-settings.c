/* ui-settings.c: see ui-settings.h. */
#define G_LOG_DOMAIN "ui-settings"
#include "ui-settings.h"

#define SCHEMA_ID "org.lectern.Lectern"

/* The schema as installed; else, for a program started from its build folder, the one compiled beside it. */
static GSettingsSchema *find_schema(void)
{
    GSettingsSchemaSource *source = g_settings_schema_source_get_default();
    GSettingsSchema *schema = source != NULL ? g_settings_schema_source_lookup(source, SCHEMA_ID, TRUE) : NULL;
    if (schema != NULL) return schema;
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
    if (program == NULL) return NULL;
    g_autofree char *folder = g_path_get_dirname(program);
    for (const char *const *up = (const char *const[]){"../resources", "../../resources", NULL}; *up != NULL && schema == NULL; up++) {
        g_autofree char *beside = g_build_filename(folder, *up, NULL);
        g_autoptr(GSettingsSchemaSource) built = g_settings_schema_source_new_from_directory(beside, source, FALSE, NULL);
        if (built != NULL) schema = g_settings_schema_source_lookup(built, SCHEMA_ID, FALSE);
    }
    return schema;
}

GSettings *ui_settings_get(void)
{
    static GSettings *settings;
    if (settings != NULL) return settings;
    g_autoptr(GSettingsSchema) schema = find_schema();
    if (schema == NULL) g_error("The settings' schema " SCHEMA_ID " is not installed; install Lectern again");
    settings = g_settings_new_full(schema, NULL, NULL);
    return settings;
}

void ui_settings_keep(const char *key, GVariant *value)
{
    g_autoptr(GVariant) wanted = g_variant_ref_sink(value), known = g_settings_get_value(ui_settings_get(), key);
    if (!g_variant_equal(wanted, known)) g_settings_set_value(ui_settings_get(), key, wanted);
}
