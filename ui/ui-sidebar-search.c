/* ui-sidebar-search.c: finding a conversation by its title or by what was asked, answered and quoted in it.
 *
 * Owns: the list that stands in place of all conversations while words are looked for: one row a conversation, with the best turn's words.
 * Does not own: the search (app-library.h), what a row's menu does (ui-sidebar-changes.c).
 */
#define G_LOG_DOMAIN "ui-sidebar"
#include <glib/gi18n.h>
#include <string.h>

#include "app-format.h"
#include "ui-sidebar-internal.h"

enum { HITS_MAX = 100 };

typedef struct Search {
    AppLibrary *library;
    char *words;
    guint64 number;
} Search;

static void free_search(gpointer data)
{
    Search *search = data;
    app_library_unref(search->library);
    g_free(search->words);
    g_free(search);
}

static void run_search(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    const Search *search = data;
    GError *error = NULL;
    GPtrArray *hits = app_library_search_conversations(search->library, search->words, true, HITS_MAX, &error);
    if (hits != NULL) g_task_return_pointer(task, hits, (GDestroyNotify)g_ptr_array_unref);
    else g_task_return_error(task, error);
}

static GtkWidget *make_hit(UiSidebar *self, const AppConversationHit *hit)
{
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 3);
    const char *title = *hit->title != '\0' ? hit->title : _("Untitled");
    GtkLabel *name = ui_sidebar_add_label(box, true), *snippet = ui_sidebar_add_label(box, true);
    g_autofree char *title_markup = g_markup_escape_text(title, -1), *markup = app_format_snippet(hit->snippet, "<b>", "</b>", true);
    gtk_label_set_markup(snippet, markup);
    bool says_more = hit->turn != 0 && strcmp(gtk_label_get_text(snippet), title) != 0; /* than the title, which is the first question */
    gtk_label_set_markup(name, says_more ? title_markup : markup);
    gtk_label_set_wrap(snippet, TRUE);
    gtk_label_set_wrap_mode(snippet, PANGO_WRAP_WORD_CHAR);
    gtk_label_set_lines(snippet, 3);
    gtk_widget_set_visible(GTK_WIDGET(snippet), says_more);
    gtk_widget_add_css_class(GTK_WIDGET(snippet), "caption");
    gtk_widget_add_css_class(GTK_WIDGET(snippet), "dim-label");
    GtkWidget *row = ui_sidebar_make_row(self, hit->conversation, title, says_more ? gtk_label_get_text(snippet) : "", box, true);
    gtk_widget_add_css_class(row, "found-row");
    g_object_set_data(G_OBJECT(row), "turn", GSIZE_TO_POINTER((gsize)hit->turn));
    return row;
}

/* The title says which conversation it is; of its turns the best says why. */
static const AppConversationHit *best_of(const GPtrArray *hits, gint64 conversation)
{
    const AppConversationHit *best = NULL;
    for (guint i = 0; i < hits->len; i++) {
        const AppConversationHit *hit = g_ptr_array_index(hits, i);
        if (hit->conversation == conversation && (best == NULL || best->turn == 0)) best = hit;
    }
    return best;
}

static void on_found(GObject *source, GAsyncResult *result, gpointer user)
{
    UiSidebar *self = UI_SIDEBAR(source);
    const Search *search = g_task_get_task_data(G_TASK(result));
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) hits = g_task_propagate_pointer(G_TASK(result), &error);
    if (search->number != self->search_number || self->context == NULL) return;
    if (hits == NULL) g_warning("%s", error->message);
    for (GtkListBoxRow *row; (row = gtk_list_box_get_row_at_index(self->found, 0)) != NULL;) gtk_list_box_remove(self->found, GTK_WIDGET(row));
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    for (guint i = 0; hits != NULL && i < hits->len; i++) {
        const AppConversationHit *hit = g_ptr_array_index(hits, i);
        gint64 id = hit->conversation;
        if (g_hash_table_contains(self->hidden_conversations, &id) || !g_hash_table_add(seen, g_memdup2(&id, sizeof id))) continue;
        gtk_list_box_append(self->found, make_hit(self, best_of(hits, id)));
    }
    gtk_widget_set_visible(GTK_WIDGET(self->conversations), FALSE);
    gtk_widget_set_visible(GTK_WIDGET(self->found), TRUE);
    ui_sidebar_mark_shown(self);
}

void ui_sidebar_search_update(UiSidebar *self)
{
    const char *words = gtk_editable_get_text(GTK_EDITABLE(self->search_entry));
    self->search_number++; /* what is on its way comes too late */
    if (*words == '\0' || !gtk_search_bar_get_search_mode(self->search_bar)) {
        gtk_widget_set_visible(GTK_WIDGET(self->found), FALSE);
        gtk_widget_set_visible(GTK_WIDGET(self->conversations), TRUE);
        return;
    }
    if (self->context == NULL) return;
    Search *search = g_new0(Search, 1);
    *search = (Search){app_library_ref(ui_context_get_library(self->context)), g_strdup(words), self->search_number};
    ui_context_run(self->context, G_OBJECT(self), run_search, search, free_search, NULL, on_found, NULL);
}
