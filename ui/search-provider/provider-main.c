/* provider-main.c: answers the desktop's search from the library's index.
 *
 * Owns: org.gnome.Shell.SearchProvider2 on the session bus, leaving when nobody has asked for a while.
 * Does not own: the index (app-library.h), showing what was found (it tells the application over D-Bus).
 *
 * SQLite alone: no GTK, no model; it starts in milliseconds, is started by the bus and ends by itself. Result ids are
 * "document:start:end", so that a result can be opened without searching again.
 */
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <string.h>

#include "app-format.h"
#include "app-library.h"
#include "app-locale.h"

enum { IDLE_S = 20, RESULTS_MAX = 12 };
#define BUS_NAME "org.lectern.Lectern.SearchProvider"
#define OBJECT_PATH "/org/lectern/Lectern/SearchProvider"

static const char interface_xml[] =
    "<node><interface name='org.gnome.Shell.SearchProvider2'>"
    "<method name='GetInitialResultSet'><arg type='as' direction='in'/><arg type='as' direction='out'/></method>"
    "<method name='GetSubsearchResultSet'><arg type='as' direction='in'/><arg type='as' direction='in'/><arg type='as' direction='out'/></method>"
    "<method name='GetResultMetas'><arg type='as' direction='in'/><arg type='aa{sv}' direction='out'/></method>"
    "<method name='ActivateResult'><arg type='s' direction='in'/><arg type='as' direction='in'/><arg type='u' direction='in'/></method>"
    "<method name='LaunchSearch'><arg type='as' direction='in'/><arg type='u' direction='in'/></method>"
    "</interface></node>";

typedef struct Provider {
    GMainLoop *loop;
    GDBusConnection *bus;
    AppLibrary *library; /* NULL: it cannot be opened; nothing is found then */
    GHashTable *metas;   /* id -> Meta, of the latest searches */
    guint idle_source;
    int status;
} Provider;

typedef struct Meta {
    char *name, *description;
} Meta;

static void free_meta(gpointer data)
{
    Meta *meta = data;
    g_free(meta->name);
    g_free(meta->description);
    g_free(meta);
}

static gboolean leave(gpointer user)
{
    Provider *provider = user;
    provider->idle_source = 0;
    g_main_loop_quit(provider->loop);
    return G_SOURCE_REMOVE;
}

static void stay(Provider *provider)
{
    g_clear_handle_id(&provider->idle_source, g_source_remove);
    provider->idle_source = g_timeout_add_seconds(IDLE_S, leave, provider);
}

static GVariant *search(Provider *provider, const char *const *terms)
{
    g_autofree char *words = g_strjoinv(" ", (char **)terms);
    AppSearch request = {.words = words, .prefix = true, .limit = 3 * RESULTS_MAX};
    g_autoptr(GPtrArray) hits = provider->library != NULL ? app_library_search(provider->library, &request, NULL) : NULL;
    GVariantBuilder ids;
    g_variant_builder_init(&ids, G_VARIANT_TYPE("as"));
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    guint n = 0;
    for (guint i = 0; hits != NULL && i < hits->len && n < RESULTS_MAX; i++) {
        const AppHit *hit = g_ptr_array_index(hits, i);
        gint64 document = hit->document;
        if (!g_hash_table_add(seen, g_memdup2(&document, sizeof document))) continue; /* the best passage of each document */
        g_autofree char *id = g_strdup_printf("%" G_GINT64_FORMAT ":%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT, document, hit->match_start, hit->match_end);
        Meta *meta = g_new0(Meta, 1);
        g_autofree char *snippet = app_format_snippet(hit->snippet, "", "", false);
        meta->name = g_strdup(hit->title);
        /* Translators: a page's label, then some words of its text */
        meta->description = hit->page != UINT32_MAX ? g_strdup_printf(_("Page %s: %s"), hit->page_label, snippet) : g_strdup(snippet);
        g_hash_table_insert(provider->metas, g_strdup(id), meta);
        g_variant_builder_add(&ids, "s", id);
        n++;
    }
    return g_variant_new("(as)", &ids);
}

static GVariant *describe(Provider *provider, const char *const *ids)
{
    GVariantBuilder metas;
    g_variant_builder_init(&metas, G_VARIANT_TYPE("aa{sv}"));
    for (; *ids != NULL; ids++) {
        const Meta *meta = g_hash_table_lookup(provider->metas, *ids);
        g_autoptr(AppDocument) document = NULL;
        if (meta == NULL && provider->library != NULL) {
            document = app_library_get_document(provider->library, g_ascii_strtoll(*ids, NULL, 10), NULL);
            if (document == NULL) continue; /* removed meanwhile */
        }
        g_autoptr(GIcon) icon = g_themed_icon_new("org.lectern.Lectern");
        g_autoptr(GVariant) serialized = g_icon_serialize(icon);
        g_variant_builder_open(&metas, G_VARIANT_TYPE("a{sv}"));
        g_variant_builder_add(&metas, "{sv}", "id", g_variant_new_string(*ids));
        g_variant_builder_add(&metas, "{sv}", "name", g_variant_new_string(meta != NULL ? meta->name : document != NULL ? document->title : ""));
        g_variant_builder_add(&metas, "{sv}", "description", g_variant_new_string(meta != NULL ? meta->description : ""));
        g_variant_builder_add(&metas, "{sv}", "icon", serialized);
        g_variant_builder_close(&metas);
    }
    return g_variant_new("(aa{sv})", &metas);
}

static void on_activated(GObject *source, GAsyncResult *result, gpointer user)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
    if (reply == NULL) g_warning("The application did not answer: %s", error->message);
}

/* One of the application's actions, with one parameter; the bus starts it if it is not running. */
static void activate(Provider *provider, const char *action, GVariant *parameter, guint32 time)
{
    GVariantBuilder parameters, platform;
    g_variant_builder_init(&parameters, G_VARIANT_TYPE("av"));
    g_variant_builder_add(&parameters, "v", parameter);
    g_variant_builder_init(&platform, G_VARIANT_TYPE("a{sv}"));
    g_autofree char *startup = g_strdup_printf("_TIME%u", time);
    g_variant_builder_add(&platform, "{sv}", "desktop-startup-id", g_variant_new_string(startup));
    g_dbus_connection_call(provider->bus, "org.lectern.Lectern", "/org/lectern/Lectern", "org.freedesktop.Application", "ActivateAction",
                           g_variant_new("(sava{sv})", action, &parameters, &platform), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, on_activated, NULL);
}

static void activate_result(Provider *provider, const char *id, guint32 time)
{
    g_auto(GStrv) parts = g_strsplit(id, ":", 4);
    if (g_strv_length(parts) != 3) return;
    activate(provider, "show-passage", g_variant_new("(xtt)", (gint64)g_ascii_strtoll(parts[0], NULL, 10), (guint64)g_ascii_strtoull(parts[1], NULL, 10),
                                                     (guint64)g_ascii_strtoull(parts[2], NULL, 10)), time);
}

static void on_call(GDBusConnection *bus, const char *sender, const char *path, const char *interface, const char *method, GVariant *arguments,
                    GDBusMethodInvocation *invocation, gpointer user)
{
    Provider *provider = user;
    GVariant *reply = NULL;
    stay(provider);
    if (g_str_equal(method, "GetInitialResultSet")) {
        g_autofree const char **terms = NULL;
        g_hash_table_remove_all(provider->metas);
        g_variant_get(arguments, "(^a&s)", &terms);
        reply = search(provider, terms);
    } else if (g_str_equal(method, "GetSubsearchResultSet")) {
        g_autofree const char **before = NULL, **terms = NULL;
        g_variant_get(arguments, "(^a&s^a&s)", &before, &terms);
        reply = search(provider, terms);
    } else if (g_str_equal(method, "GetResultMetas")) {
        g_autofree const char **ids = NULL;
        g_variant_get(arguments, "(^a&s)", &ids);
        reply = describe(provider, ids);
    } else if (g_str_equal(method, "ActivateResult")) {
        const char *id;
        guint32 time;
        g_autofree const char **terms = NULL;
        g_variant_get(arguments, "(&s^a&su)", &id, &terms, &time);
        activate_result(provider, id, time);
    } else if (g_str_equal(method, "LaunchSearch")) {
        guint32 time;
        g_autofree const char **terms = NULL;
        g_variant_get(arguments, "(^a&su)", &terms, &time);
        g_autofree char *words = g_strjoinv(" ", (char **)terms);
        activate(provider, "search", g_variant_new_string(words), time);
    }
    g_dbus_method_invocation_return_value(invocation, reply);
}

static void on_bus_acquired(GDBusConnection *bus, const char *name, gpointer user)
{
    static const GDBusInterfaceVTable calls = {.method_call = on_call};
    Provider *provider = user;
    g_autoptr(GDBusNodeInfo) node = g_dbus_node_info_new_for_xml(interface_xml, NULL);
    provider->bus = bus;
    g_dbus_connection_register_object(bus, OBJECT_PATH, node->interfaces[0], &calls, provider, NULL, NULL);
}

static void on_name_lost(GDBusConnection *bus, const char *name, gpointer user)
{
    Provider *provider = user;
    if (bus == NULL) {
        g_printerr("lectern-search-provider: there is no session bus\n");
        provider->status = 1;
    }
    g_main_loop_quit(provider->loop);
}

int main(void)
{
    app_locale_init(true);
    g_autoptr(GError) error = NULL;
    Provider provider = {.loop = g_main_loop_new(NULL, FALSE), .metas = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_meta)};
    provider.library = app_library_open(NULL, &error);
    if (provider.library == NULL) g_printerr("lectern-search-provider: %s\n", error->message);
    stay(&provider);
    guint name = g_bus_own_name(G_BUS_TYPE_SESSION, BUS_NAME, G_BUS_NAME_OWNER_FLAGS_NONE, on_bus_acquired, NULL, on_name_lost, &provider, NULL);
    g_main_loop_run(provider.loop);
    g_bus_unown_name(name);
    g_clear_handle_id(&provider.idle_source, g_source_remove);
    app_library_unref(provider.library);
    g_hash_table_unref(provider.metas);
    g_main_loop_unref(provider.loop);
    return provider.status;
}
