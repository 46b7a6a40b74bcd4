/* ui-search-view.c: see ui-search-view.h. */
#define G_LOG_DOMAIN "ui-search-view"
#include "ui-search-view.h"

#include <glib/gi18n.h>

#include "app-format.h"
#include "ui-document-row.h"

enum { TITLES_MAX = 6, HITS_AT_ONCE = 20 };

struct _UiSearchView {
    AdwBin parent;
    GtkStack *stack;
    GtkWidget *documents_box, *passages_box;
    GtkListBox *documents, *passages;
    GtkWidget *more_button;
    AdwStatusPage *nothing;
    UiContext *context;
    UiDocumentModel *model;
    GtkSliceListModel *titles;
    char *words;
    int64_t collection;
    guint64 number; /* of the latest search: older results are dropped */
    uint32_t n_hits;
    bool is_searching;
};

G_DEFINE_FINAL_TYPE(UiSearchView, ui_search_view, ADW_TYPE_BIN)

typedef struct Search {
    UiContext *context;
    char *words;
    int64_t collection;
    uint32_t offset;
    guint64 number;
} Search;

static void free_search(gpointer data)
{
    Search *search = data;
    g_object_unref(search->context);
    g_free(search->words);
    g_free(search);
}

static void run_search(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Search *search = data;
    AppSearch request = {.words = search->words, .prefix = true, .collection = search->collection, .offset = search->offset, .limit = HITS_AT_ONCE};
    GError *error = NULL;
    GPtrArray *hits = app_library_search(ui_context_get_library(search->context), &request, &error);
    if (hits != NULL) g_task_return_pointer(task, hits, (GDestroyNotify)g_ptr_array_unref);
    else g_task_return_error(task, error);
}

static GtkWidget *add_label(GtkWidget *box, const char *class)
{
    GtkWidget *label = gtk_label_new(NULL);
    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_label_set_ellipsize(GTK_LABEL(label), PANGO_ELLIPSIZE_END);
    if (class != NULL) gtk_widget_add_css_class(label, class);
    gtk_box_append(GTK_BOX(box), label);
    return label;
}

static GtkWidget *make_hit_row(const AppHit *hit)
{
    GtkWidget *row = gtk_list_box_row_new(), *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 3);
    gtk_widget_add_css_class(row, "hit-row");
    GtkWidget *snippet = add_label(box, NULL);
    g_autofree char *markup = app_format_snippet(hit->snippet, "<b>", "</b>", true);
    gtk_label_set_markup(GTK_LABEL(snippet), markup);
    gtk_label_set_wrap(GTK_LABEL(snippet), TRUE);
    gtk_label_set_wrap_mode(GTK_LABEL(snippet), PANGO_WRAP_WORD_CHAR);
    gtk_label_set_lines(GTK_LABEL(snippet), 3);
    g_autoptr(GString) place = g_string_new(*hit->heading != '\0' ? hit->heading : hit->title);
    if (hit->page != UINT32_MAX) g_string_append_printf(place, _(", page %s"), hit->page_label);
    GtkWidget *caption = add_label(box, "caption");
    gtk_label_set_ellipsize(GTK_LABEL(caption), PANGO_ELLIPSIZE_MIDDLE); /* the document and the page stand at its ends */
    gtk_widget_add_css_class(caption, "dim-label");
    gtk_label_set_text(GTK_LABEL(caption), place->str);
    gtk_list_box_row_set_child(GTK_LIST_BOX_ROW(row), box);
    g_autofree char *name = g_strdup_printf("%s: %s", place->str, gtk_label_get_text(GTK_LABEL(snippet)));
    gtk_accessible_update_property(GTK_ACCESSIBLE(row), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
    GVariant *target = g_variant_new("(xtt)", hit->document, hit->match_start, hit->match_end);
    gtk_actionable_set_action_name(GTK_ACTIONABLE(row), "win.show-passage");
    gtk_actionable_set_action_target_value(GTK_ACTIONABLE(row), target);
    return row;
}

static void clear(GtkListBox *list)
{
    GtkWidget *child;
    while ((child = gtk_widget_get_first_child(GTK_WIDGET(list))) != NULL) gtk_list_box_remove(list, child);
}

static void update_pages(UiSearchView *self)
{
    guint n_titles = self->titles != NULL ? g_list_model_get_n_items(G_LIST_MODEL(self->titles)) : 0;
    gtk_widget_set_visible(self->documents_box, n_titles > 0);
    gtk_widget_set_visible(self->passages_box, self->n_hits > 0);
    if (n_titles > 0 || self->n_hits > 0) gtk_stack_set_visible_child_name(self->stack, "hits");
    else if (!self->is_searching) gtk_stack_set_visible_child_name(self->stack, "nothing");
}

static void on_hits(GObject *source, GAsyncResult *result, gpointer user)
{
    UiSearchView *self = UI_SEARCH_VIEW(source);
    Search *search = g_task_get_task_data(G_TASK(result));
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) hits = g_task_propagate_pointer(G_TASK(result), &error);
    if (search->number != self->number) return;
    self->is_searching = false;
    if (hits == NULL) g_warning("%s", error->message);
    if (search->offset == 0) {
        clear(self->passages);
        self->n_hits = 0;
    }
    for (guint i = 0; hits != NULL && i < hits->len; i++) gtk_list_box_append(self->passages, make_hit_row(g_ptr_array_index(hits, i)));
    self->n_hits += hits != NULL ? hits->len : 0;
    gtk_widget_set_visible(self->more_button, hits != NULL && hits->len == HITS_AT_ONCE);
    g_autofree char *escaped = g_markup_escape_text(self->words, -1);
    g_autofree char *text = g_strdup_printf(_("No title and no text has all of “%s”."), escaped);
    adw_status_page_set_description(self->nothing, text);
    update_pages(self);
}

static void begin(UiSearchView *self, uint32_t offset)
{
    Search *search = g_new0(Search, 1);
    search->context = g_object_ref(self->context);
    search->words = g_strdup(self->words);
    search->collection = self->collection;
    search->offset = offset;
    search->number = ++self->number;
    self->is_searching = true;
    ui_context_run(self->context, G_OBJECT(self), run_search, search, free_search, NULL, on_hits, NULL);
}

void ui_search_view_search(UiSearchView *self, const char *words, int64_t collection)
{
    g_free(self->words);
    self->words = g_strdup(words);
    self->collection = collection;
    ui_document_model_set_collection(self->model, collection);
    ui_document_model_set_words(self->model, words);
    ui_document_model_set_active(self->model, *words != '\0');
    gtk_slice_list_model_set_size(self->titles, *words != '\0' ? TITLES_MAX : 0);
    if (*words != '\0') {
        begin(self, 0);
    } else {
        self->number++; /* what is on its way comes too late */
        self->n_hits = 0;
        clear(self->passages);
    }
}

void ui_search_view_focus_first(UiSearchView *self)
{
    GtkListBox *list = gtk_widget_get_visible(self->documents_box) ? self->documents : self->passages;
    GtkListBoxRow *row = gtk_list_box_get_row_at_index(list, 0);
    if (row != NULL) gtk_widget_grab_focus(GTK_WIDGET(row));
}

static void on_more(UiSearchView *self)
{
    begin(self, self->n_hits);
}

static void on_document_activated(UiSearchView *self, GtkListBoxRow *row)
{
    UiDocumentItem *item = ui_document_row_get_item(UI_DOCUMENT_ROW(gtk_list_box_row_get_child(row)));
    if (item != NULL) gtk_widget_activate_action(GTK_WIDGET(self), "win.open-document", "x", ui_document_item_get_id(item));
}

static GtkWidget *make_document_row(gpointer item, gpointer user)
{
    GtkWidget *row = gtk_list_box_row_new(), *child = ui_document_row_new();
    gtk_list_box_row_set_child(GTK_LIST_BOX_ROW(row), child);
    ui_document_row_set_item(UI_DOCUMENT_ROW(child), item);
    return row;
}

void ui_search_view_set_context(UiSearchView *self, UiContext *context)
{
    g_set_object(&self->context, context);
    UiDocumentModel *model = self->model = ui_document_model_new(context);
    ui_document_model_set_active(model, false);
    self->titles = gtk_slice_list_model_new(G_LIST_MODEL(g_object_ref(model)), 0, 0);
    gtk_list_box_bind_model(self->documents, G_LIST_MODEL(self->titles), make_document_row, self, NULL);
    g_signal_connect_object(model, "loaded", G_CALLBACK(update_pages), self, G_CONNECT_SWAPPED);
}

static void ui_search_view_dispose(GObject *object)
{
    UiSearchView *self = UI_SEARCH_VIEW(object);
    if (self->stack != NULL) adw_bin_set_child(ADW_BIN(object), NULL); /* the bin lets go of it before the template does */
    gtk_widget_dispose_template(GTK_WIDGET(object), UI_TYPE_SEARCH_VIEW);
    g_clear_object(&self->titles);
    g_clear_object(&self->model);
    g_clear_object(&self->context);
    g_clear_pointer(&self->words, g_free);
    G_OBJECT_CLASS(ui_search_view_parent_class)->dispose(object);
}

static void ui_search_view_class_init(UiSearchViewClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_search_view_dispose;
    gtk_widget_class_set_template_from_resource(widget_class, "/org/lectern/Lectern/ui/search-view.ui");
    gtk_widget_class_bind_template_child(widget_class, UiSearchView, stack);
    gtk_widget_class_bind_template_child(widget_class, UiSearchView, documents_box);
    gtk_widget_class_bind_template_child(widget_class, UiSearchView, passages_box);
    gtk_widget_class_bind_template_child(widget_class, UiSearchView, documents);
    gtk_widget_class_bind_template_child(widget_class, UiSearchView, passages);
    gtk_widget_class_bind_template_child(widget_class, UiSearchView, more_button);
    gtk_widget_class_bind_template_child(widget_class, UiSearchView, nothing);
    gtk_widget_class_bind_template_callback(widget_class, on_more);
    gtk_widget_class_bind_template_callback(widget_class, on_document_activated);
}

static void ui_search_view_init(UiSearchView *self)
{
    self->words = g_strdup("");
    gtk_widget_init_template(GTK_WIDGET(self));
}
