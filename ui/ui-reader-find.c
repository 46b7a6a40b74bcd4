/* ui-reader-find.c: finding words in the document: on a thread, marked in the text and on the pages in sight. */
#define G_LOG_DOMAIN "ui-reader"
#include "ui-reader-internal.h"

#include <glib/gi18n.h>
#include <string.h>

#include "ui-search-bar.h"

enum { LOCATED_MAX = 400 }; /* words found on the pages in sight; more could not be told apart anyway */
static const double MATCH_ALIGN = 0.35;

static void show_count(UiReader *self)
{
    g_autofree char *text = NULL;
    guint n = self->matches != NULL ? self->matches->len : 0;
    if (self->matches == NULL) text = g_strdup("");
    else if (n == 0) text = g_strdup(_("Not found"));
    else if (n >= UI_MATCHES_MAX) text = g_strdup_printf(_("%d of over %u"), self->current_match + 1, n);
    else text = g_strdup_printf(_("%d of %u"), self->current_match + 1, n);
    gtk_label_set_text(self->match_label, text);
    if (self->matches != NULL && n == 0) gtk_widget_add_css_class(GTK_WIDGET(self->search_entry), "error");
    else gtk_widget_remove_css_class(GTK_WIDGET(self->search_entry), "error");
}

/* ------------------------------------------------------------------------------------------------------------ on pages */

typedef struct Located {
    GArray *boxes, *numbers; /* AppBox; int: which match */
} Located;

static void free_located(gpointer data)
{
    Located *located = data;
    g_array_unref(located->boxes);
    g_array_unref(located->numbers);
    g_free(located);
}

static void locate(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    UiReaderJob *job = data;
    Located *located = g_new(Located, 1);
    located->boxes = g_array_new(FALSE, FALSE, sizeof(AppBox));
    located->numbers = g_array_new(FALSE, FALSE, sizeof(int));
    for (guint i = 0; i < job->ranges->len; i++) {
        const UiRange *range = &g_array_index(job->ranges, UiRange, i);
        g_autoptr(AppPlace) place = app_library_locate(job->library, job->id, range->start, range->end, NULL);
        for (size_t b = 0; place != NULL && b < place->n_boxes; b++) {
            g_array_append_val(located->boxes, place->boxes[b]);
            g_array_append_val(located->numbers, g_array_index(job->numbers, int, i));
        }
    }
    g_task_return_pointer(task, located, free_located);
}

static void on_located(GObject *source, GAsyncResult *result, gpointer user)
{
    UiReader *self = UI_READER(source);
    Located *located = g_task_propagate_pointer(G_TASK(result), NULL);
    UiReaderJob *job = ui_reader_get_job(self, result);
    self->is_locating_matches = false;
    if (job != NULL && self->matches != NULL && job->start == self->find_number) {
        ui_pdf_pages_set_matches(self->pdf_pages, (const AppBox *)(void *)located->boxes->data, (const int *)(void *)located->numbers->data,
                                 located->boxes->len, self->current_match);
        /* The view went on meanwhile. */
        if (job->end != ui_reader_get_place(self).page) ui_reader_locate_matches(self);
    }
    free_located(located);
}

/* The first match that begins at or behind a byte. */
static guint match_at(const GArray *matches, uint64_t byte)
{
    guint low = 0, high = matches->len;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        if (g_array_index(matches, UiRange, middle).start < byte) low = middle + 1;
        else high = middle;
    }
    return low;
}

void ui_reader_locate_matches(UiReader *self)
{
    if (self->matches == NULL || !self->has_pages || self->view != APP_VIEW_PAGES || self->is_locating_matches) return;
    uint32_t first, last;
    double y;
    ui_pdf_pages_get_visible(self->pdf_pages, &first, &y, &last, &y);
    last = MIN(last + 1, self->document->pages->len - 1);
    first = MIN(first > 0 ? first - 1 : 0, last);
    uint64_t from = ((const AppPage *)g_ptr_array_index(self->document->pages, first))->start;
    uint64_t to = ((const AppPage *)g_ptr_array_index(self->document->pages, last))->end;
    UiReaderJob *job = ui_reader_job_new(self);
    job->ranges = g_array_new(FALSE, FALSE, sizeof(UiRange));
    job->numbers = g_array_new(FALSE, FALSE, sizeof(int));
    for (guint i = match_at(self->matches, from); i < self->matches->len && job->ranges->len < LOCATED_MAX; i++) {
        UiRange range = g_array_index(self->matches, UiRange, i);
        int number = (int)i;
        if (range.start >= to) break;
        g_array_append_val(job->ranges, range);
        g_array_append_val(job->numbers, number);
    }
    job->start = self->find_number;
    job->end = ui_reader_get_place(self).page;
    self->is_locating_matches = true;
    ui_reader_run(self, job, locate, on_located);
}

/* ------------------------------------------------------------------------------------------------------------- finding */

static void go_to_match(UiReader *self, int number)
{
    self->current_match = number;
    const UiRange *match = &g_array_index(self->matches, UiRange, number);
    ui_text_page_set_matches(self->text_page, self->matches, number);
    ui_reader_go_to_byte(self, match->start, MATCH_ALIGN);
    show_count(self);
    ui_reader_locate_matches(self);
}

static void find(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    UiReaderJob *job = data;
    g_task_return_pointer(task, ui_document_find(job->document, job->words, &job->cancel), (GDestroyNotify)g_array_unref);
}

static void on_found(GObject *source, GAsyncResult *result, gpointer user)
{
    UiReader *self = UI_READER(source);
    g_autoptr(GArray) matches = g_task_propagate_pointer(G_TASK(result), NULL);
    UiReaderJob *job = ui_reader_get_job(self, result);
    if (job == NULL || job != self->find) return;
    self->find = NULL;
    ui_text_page_set_matches(self->text_page, NULL, -1);
    g_clear_pointer(&self->matches, g_array_unref);
    self->matches = g_steal_pointer(&matches);
    self->find_number++;
    self->current_match = -1;
    ui_pdf_pages_set_matches(self->pdf_pages, NULL, NULL, 0, -1);
    if (self->matches->len == 0) {
        show_count(self);
        return;
    }
    guint next = match_at(self->matches, ui_reader_get_place(self).start);
    go_to_match(self, next < self->matches->len ? (int)next : 0);
}

static void stop_finding(UiReader *self)
{
    if (self->find != NULL) __atomic_store_n(&self->find->cancel, true, __ATOMIC_RELAXED);
    self->find = NULL;
}

void ui_reader_clear_find(UiReader *self)
{
    stop_finding(self);
    ui_text_page_set_matches(self->text_page, NULL, -1);
    ui_pdf_pages_set_matches(self->pdf_pages, NULL, NULL, 0, -1);
    g_clear_pointer(&self->matches, g_array_unref);
    self->current_match = -1;
    self->find_number++;
    show_count(self);
}

void ui_reader_on_search_changed(UiReader *self)
{
    const char *words = gtk_editable_get_text(GTK_EDITABLE(self->search_entry));
    stop_finding(self);
    if (self->document == NULL || *words == '\0') {
        ui_reader_clear_find(self);
        return;
    }
    UiReaderJob *job = ui_reader_job_new(self);
    job->words = g_strdup(words);
    self->find = job;
    ui_reader_run(self, job, find, on_found);
}

void ui_reader_on_search_mode(UiReader *self)
{
    if (gtk_search_bar_get_search_mode(self->search_bar)) {
        ui_reader_on_search_changed(self);
        return;
    }
    ui_reader_clear_find(self);
    gtk_widget_grab_focus(self->view == APP_VIEW_PAGES ? GTK_WIDGET(self->pdf_pages) : GTK_WIDGET(self->text_page));
}

static void step(UiReader *self, int by)
{
    if (self->matches == NULL || self->matches->len == 0) return;
    int n = (int)self->matches->len;
    go_to_match(self, (self->current_match + by + n) % n);
}

void ui_reader_find_next(UiReader *self)
{
    step(self, 1);
}

void ui_reader_find_previous(UiReader *self)
{
    step(self, -1);
}

/* Opens the bar; words that are selected are what is looked for. */
static void open_find(GtkWidget *widget, const char *action, GVariant *parameter)
{
    UiReader *self = UI_READER(widget);
    if (self->document == NULL) return;
    GtkTextIter start, end;
    GtkTextBuffer *buffer = gtk_text_view_get_buffer(GTK_TEXT_VIEW(self->text_page));
    bool has_words = self->view == APP_VIEW_TEXT && gtk_text_buffer_get_selection_bounds(buffer, &start, &end) &&
                     gtk_text_iter_get_offset(&end) - gtk_text_iter_get_offset(&start) < 200;
    g_autofree char *words = has_words ? gtk_text_buffer_get_text(buffer, &start, &end, FALSE) : NULL;
    ui_search_bar_open(self->search_bar, GTK_EDITABLE(self->search_entry), words);
    gtk_editable_select_region(GTK_EDITABLE(self->search_entry), 0, -1);
}

static void step_action(GtkWidget *widget, const char *action, GVariant *parameter)
{
    UiReader *self = UI_READER(widget);
    if (!gtk_search_bar_get_search_mode(self->search_bar)) open_find(widget, action, NULL);
    else step(self, strcmp(action, "reader.find-next") == 0 ? 1 : -1);
}

void ui_reader_install_find(GtkWidgetClass *class)
{
    gtk_widget_class_install_action(class, "reader.find", NULL, open_find);
    gtk_widget_class_install_action(class, "reader.find-next", NULL, step_action);
    gtk_widget_class_install_action(class, "reader.find-previous", NULL, step_action);
}
