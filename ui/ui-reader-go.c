/* ui-reader-go.c: going to pages and chapters, zoom, and the bar below that shows both. */
#define G_LOG_DOMAIN "ui-reader"
#include "ui-reader-internal.h"

#include <glib/gi18n.h>
#include <math.h>
#include <string.h>

static const double ZOOM_STEP = 1.2, TEXT_ZOOM_MIN = 0.6, TEXT_ZOOM_MAX = 3;

/* ---------------------------------------------------------------------------------------------------------------- going */

static void go_to_page(UiReader *self, int page)
{
    if (self->document == NULL || page < 0 || page >= (int)self->document->pages->len) return;
    const AppPage *about = g_ptr_array_index(self->document->pages, page);
    self->seeking = NULL;
    if (self->view == APP_VIEW_PAGES) ui_pdf_pages_scroll_to(self->pdf_pages, (uint32_t)page, 0, 0);
    else ui_text_page_scroll_to(self->text_page, about->start, 0);
    ui_reader_moved(self);
}

static void locate(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    UiReaderJob *job = data;
    g_task_return_pointer(task, app_library_locate(job->library, job->id, job->start, job->end, NULL), (GDestroyNotify)app_place_free);
}

static void on_located(GObject *source, GAsyncResult *result, gpointer user)
{
    UiReader *self = UI_READER(source);
    g_autoptr(AppPlace) place = g_task_propagate_pointer(G_TASK(result), NULL);
    if (self->seeking != g_task_get_task_data(G_TASK(result))) return; /* by now another place is wanted */
    self->seeking = NULL;
    UiReaderJob *job = ui_reader_get_job(self, result);
    if (job == NULL || place == NULL || !self->has_pages) return;
    uint32_t page = place->n_boxes > 0 ? place->boxes[0].page : place->page_first;
    if (page >= self->document->pages->len) return;
    const AppPage *about = g_ptr_array_index(self->document->pages, page);
    double y = place->n_boxes > 0 && about->height > 0 ? (double)(place->boxes[0].y0 / about->height) : 0;
    ui_pdf_pages_scroll_to(self->pdf_pages, page, y, job->position.page_y);
    self->has_hint = true;
    self->hint_byte = job->start;
    self->hint_value = gtk_adjustment_get_value(gtk_scrollable_get_vadjustment(GTK_SCROLLABLE(self->pdf_pages)));
    ui_reader_moved(self);
}

void ui_reader_go_to_byte(UiReader *self, uint64_t byte, double align)
{
    if (self->document == NULL) return;
    self->seeking = NULL;
    if (self->view == APP_VIEW_TEXT) {
        ui_text_page_scroll_to(self->text_page, byte, align);
        return;
    }
    /* The place on the page is the boxes' of the next few characters. */
    UiReaderJob *job = ui_reader_job_new(self);
    job->start = byte;
    job->end = MIN(byte + 8, (uint64_t)self->document->n_bytes);
    job->position.page_y = (float)align;
    self->seeking = job;
    ui_reader_run(self, job, locate, on_located);
}

void ui_reader_on_chosen(UiReader *self, guint64 place, gboolean is_page)
{
    gtk_popover_popdown(self->contents_popover);
    if (is_page) go_to_page(self, (int)place);
    else ui_reader_go_to_byte(self, place, 0);
    gtk_widget_grab_focus(self->view == APP_VIEW_PAGES ? GTK_WIDGET(self->pdf_pages) : GTK_WIDGET(self->text_page));
}

void ui_reader_on_contents_shown(UiReader *self)
{
    ui_contents_show_place(self->contents, ui_reader_get_place(self).start);
}

void ui_reader_on_page_entry_activate(UiReader *self)
{
    if (self->document == NULL) return;
    int page = ui_document_find_page(self->document, gtk_editable_get_text(GTK_EDITABLE(self->page_entry)));
    if (page < 0) {
        gtk_widget_error_bell(GTK_WIDGET(self->page_entry));
        ui_reader_update_bar(self);
        return;
    }
    gtk_widget_grab_focus(self->view == APP_VIEW_PAGES ? GTK_WIDGET(self->pdf_pages) : GTK_WIDGET(self->text_page));
    go_to_page(self, page);
}

static void go_to_chapter(UiReader *self, int direction)
{
    if (self->document == NULL) return;
    bool is_on_its_way = self->seeking != NULL && self->seeking->number == self->number; /* from there a second press goes on */
    uint64_t here = is_on_its_way ? self->seeking->start : ui_reader_get_place(self).start;
    int heading = ui_document_heading_at(self->document, here);
    if (direction < 0 && heading >= 0) {
        /* From within a chapter first to its beginning. */
        const AppHeading *about = g_ptr_array_index(self->document->headings, heading);
        if (about->start >= here) heading--;
    } else {
        heading += direction;
    }
    if (heading >= (int)self->document->headings->len) return;
    const AppHeading *about = heading >= 0 ? g_ptr_array_index(self->document->headings, heading) : NULL;
    ui_reader_go_to_byte(self, about != NULL ? about->start : 0, 0);
}

/* ------------------------------------------------------------------------------------------------------------------ bar */

static int shown_page(UiReader *self)
{
    AppReadingPosition place = ui_reader_get_place(self);
    if (place.page == UINT32_MAX || self->view == APP_VIEW_TEXT) return place.page == UINT32_MAX ? -1 : (int)place.page;
    uint32_t first, last;
    double y, last_y;
    ui_pdf_pages_get_visible(self->pdf_pages, &first, &y, &last, &last_y);
    if (last == self->document->pages->len - 1 && last_y >= 1) return (int)last; /* the end is in sight */
    return (int)(y > 0.8 && last > first ? first + 1 : first);
}

static char *page_label(const UiDocument *document, int index)
{
    const AppPage *page = g_ptr_array_index(document->pages, index);
    return *page->label ? g_strdup(page->label) : g_strdup_printf("%d", index + 1);
}

static void update_pages(UiReader *self)
{
    int page = shown_page(self);
    gtk_widget_set_visible(self->page_box, page >= 0);
    if (page < 0) return;
    g_autofree char *label = page_label(self->document, page), *number = g_strdup_printf("%d", page + 1);
    if (!gtk_widget_has_focus(GTK_WIDGET(gtk_editable_get_delegate(GTK_EDITABLE(self->page_entry))))) {
        gtk_editable_set_text(GTK_EDITABLE(self->page_entry), label);
    }
    guint n = self->document->pages->len;
    bool is_plain = strcmp(label, number) == 0;
    g_autofree char *count = is_plain ? g_strdup_printf(_("of %u"), n) : g_strdup_printf(_("(%d of %u)"), page + 1, n);
    gtk_label_set_text(self->page_count, count);
    g_autofree char *name = g_strdup_printf(_("Page %s, %d of %u"), label, page + 1, n);
    gtk_accessible_update_property(GTK_ACCESSIBLE(self->pdf_pages), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
    gtk_widget_action_set_enabled(GTK_WIDGET(self), "reader.previous-page", page > 0 || self->view == APP_VIEW_TEXT);
    gtk_widget_action_set_enabled(GTK_WIDGET(self), "reader.next-page", page + 1 < (int)n);
}

static void update_zoom(UiReader *self)
{
    bool is_fit = self->view == APP_VIEW_PAGES && ui_pdf_pages_get_zoom(self->pdf_pages) <= 0;
    double zoom = self->view == APP_VIEW_PAGES ? ui_pdf_pages_get_scale(self->pdf_pages) : self->text_zoom;
    g_autofree char *text = g_strdup_printf(is_fit ? _("Fit (%d %%)") : _("%d %%"), (int)lround(zoom * 100));
    gtk_label_set_text(self->zoom_label, text);
}

void ui_reader_update_bar(UiReader *self)
{
    gtk_widget_set_visible(self->toolbar, self->document != NULL);
    if (self->document == NULL) return;
    AppReadingPosition place = ui_reader_get_place(self);
    int heading = ui_document_heading_at(self->document, place.start);
    const char *chapter = self->document->info->title;
    if (heading >= 0) chapter = ((const AppHeading *)g_ptr_array_index(self->document->headings, heading))->text;
    gtk_label_set_text(self->chapter_label, chapter);
    gtk_widget_set_tooltip_text(GTK_WIDGET(self->contents_button), chapter);
    gtk_widget_action_set_enabled(GTK_WIDGET(self), "reader.next-chapter", heading + 1 < (int)self->document->headings->len);
    gtk_widget_action_set_enabled(GTK_WIDGET(self), "reader.previous-chapter", self->document->headings->len > 0);
    update_pages(self);
    update_zoom(self);
}

char *ui_reader_name_place(gpointer user, uint64_t byte)
{
    UiReader *self = user;
    if (self->document == NULL) return g_strdup("");
    int heading = ui_document_heading_at(self->document, byte), page = ui_document_page_at(self->document, byte);
    const char *chapter = heading >= 0 ? ((const AppHeading *)g_ptr_array_index(self->document->headings, heading))->text : "";
    g_autofree char *label = page >= 0 ? page_label(self->document, page) : NULL;
    if (label == NULL) return g_strdup(chapter);
    return *chapter ? g_strdup_printf(_("Page %s · %s"), label, chapter) : g_strdup_printf(_("Page %s"), label);
}

/* -------------------------------------------------------------------------------------------------------------- actions */

static void page_action(GtkWidget *widget, const char *action, GVariant *parameter)
{
    UiReader *self = UI_READER(widget);
    int page = self->document != NULL ? shown_page(self) : -1;
    if (page >= 0) go_to_page(self, page + (strcmp(action, "reader.next-page") == 0 ? 1 : -1));
}

static void chapter_action(GtkWidget *widget, const char *action, GVariant *parameter)
{
    go_to_chapter(UI_READER(widget), strcmp(action, "reader.next-chapter") == 0 ? 1 : -1);
}

static void end_action(GtkWidget *widget, const char *action, GVariant *parameter)
{
    UiReader *self = UI_READER(widget);
    if (self->document == NULL) return;
    bool is_first = strcmp(action, "reader.first-page") == 0;
    if (self->view == APP_VIEW_TEXT) ui_text_page_scroll_to(self->text_page, is_first ? 0 : self->document->n_bytes, is_first ? 0 : 1);
    else ui_pdf_pages_scroll_to(self->pdf_pages, is_first ? 0 : self->document->pages->len - 1, is_first ? 0 : 1, is_first ? 0 : 1);
    ui_reader_moved(self);
}

static void zoom_action(GtkWidget *widget, const char *action, GVariant *parameter)
{
    UiReader *self = UI_READER(widget);
    double by = strcmp(action, "reader.zoom-in") == 0 ? ZOOM_STEP : strcmp(action, "reader.zoom-out") == 0 ? 1 / ZOOM_STEP : 0;
    if (self->document == NULL) return;
    if (self->view == APP_VIEW_PAGES) {
        ui_pdf_pages_set_zoom(self->pdf_pages, by > 0 ? ui_pdf_pages_get_scale(self->pdf_pages) * by : 0);
    } else {
        self->text_zoom = by > 0 ? CLAMP(self->text_zoom * by, TEXT_ZOOM_MIN, TEXT_ZOOM_MAX) : 1;
        ui_text_page_set_zoom(self->text_page, self->text_zoom);
    }
    ui_reader_moved(self);
}

static void go_to_action(GtkWidget *widget, const char *action, GVariant *parameter)
{
    UiReader *self = UI_READER(widget);
    if (self->document != NULL) gtk_menu_button_popup(self->contents_button);
}

static void view_action(GtkWidget *widget, const char *action, GVariant *parameter)
{
    UiReader *self = UI_READER(widget);
    if (self->has_pages) ui_reader_set_view(self, self->view == APP_VIEW_PAGES ? APP_VIEW_TEXT : APP_VIEW_PAGES);
}

static void clear_action(GtkWidget *widget, const char *action, GVariant *parameter)
{
    ui_reader_clear_passage(UI_READER(widget));
}

/* Escape goes on to whoever else wants it while there is no passage. */
static gboolean on_escape(GtkWidget *widget, GVariant *arguments, gpointer user)
{
    return ui_reader_clear_passage(UI_READER(widget));
}

const UiReaderKey *ui_reader_list_keys(size_t *ret_n)
{
    static const UiReaderKey keys[] = {
        {GDK_KEY_f, GDK_CONTROL_MASK, "reader.find"},
        {GDK_KEY_F3, 0, "reader.find-next"},
        {GDK_KEY_g, GDK_CONTROL_MASK | GDK_SHIFT_MASK, "reader.find-next"},
        {GDK_KEY_F3, GDK_SHIFT_MASK, "reader.find-previous"},
        {GDK_KEY_g, GDK_CONTROL_MASK, "reader.go-to"},
        {GDK_KEY_Page_Up, GDK_ALT_MASK, "reader.previous-page"},
        {GDK_KEY_Page_Down, GDK_ALT_MASK, "reader.next-page"},
        {GDK_KEY_Page_Up, GDK_CONTROL_MASK, "reader.previous-chapter"},
        {GDK_KEY_Page_Down, GDK_CONTROL_MASK, "reader.next-chapter"},
        {GDK_KEY_plus, GDK_CONTROL_MASK, "reader.zoom-in"},
        {GDK_KEY_equal, GDK_CONTROL_MASK, "reader.zoom-in"},
        {GDK_KEY_KP_Add, GDK_CONTROL_MASK, "reader.zoom-in"},
        {GDK_KEY_minus, GDK_CONTROL_MASK, "reader.zoom-out"},
        {GDK_KEY_KP_Subtract, GDK_CONTROL_MASK, "reader.zoom-out"},
        {GDK_KEY_0, GDK_CONTROL_MASK, "reader.zoom-reset"},
        {GDK_KEY_KP_0, GDK_CONTROL_MASK, "reader.zoom-reset"},
        {GDK_KEY_F8, 0, "reader.toggle-view"},
    };
    *ret_n = G_N_ELEMENTS(keys);
    return keys;
}

void ui_reader_install_actions(GtkWidgetClass *class)
{
    static const struct {
        const char *name;
        GtkWidgetActionActivateFunc activate;
    } actions[] = {
        {"reader.go-to", go_to_action},
        {"reader.previous-page", page_action},
        {"reader.next-page", page_action},
        {"reader.previous-chapter", chapter_action},
        {"reader.next-chapter", chapter_action},
        {"reader.first-page", end_action},
        {"reader.last-page", end_action},
        {"reader.zoom-in", zoom_action},
        {"reader.zoom-out", zoom_action},
        {"reader.zoom-reset", zoom_action},
        {"reader.toggle-view", view_action},
        {"reader.clear-passage", clear_action},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++) gtk_widget_class_install_action(class, actions[i].name, NULL, actions[i].activate);
    size_t n_keys;
    const UiReaderKey *keys = ui_reader_list_keys(&n_keys);
    for (size_t i = 0; i < n_keys; i++) gtk_widget_class_add_binding_action(class, keys[i].key, keys[i].modifiers, keys[i].action, NULL);
    gtk_widget_class_add_binding_action(class, GDK_KEY_Home, 0, "reader.first-page", NULL);
    gtk_widget_class_add_binding_action(class, GDK_KEY_End, 0, "reader.last-page", NULL);
    gtk_widget_class_add_binding(class, GDK_KEY_Escape, 0, on_escape, NULL);
}
