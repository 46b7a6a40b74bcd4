/* ui-contents.c: see ui-contents.h. */
#define G_LOG_DOMAIN "ui-contents"
#include "ui-contents.h"

#include <glib/gi18n.h>
#include <string.h>

enum { SHOWN_MAX = 5000, INDENT_PX = 16, SIZED_FRAMES = 3 };

/* One line of the list: a heading, or the page that was typed. */
#define UI_TYPE_PLACE_ITEM (ui_place_item_get_type())
G_DECLARE_FINAL_TYPE(UiPlaceItem, ui_place_item, UI, PLACE_ITEM, GObject)
struct _UiPlaceItem {
    GObject parent;
    char *text, *page;
    uint64_t start;
    uint32_t level;
    bool is_page, is_here;
};
G_DEFINE_FINAL_TYPE(UiPlaceItem, ui_place_item, G_TYPE_OBJECT)

static void ui_place_item_finalize(GObject *object)
{
    g_free(UI_PLACE_ITEM(object)->text);
    g_free(UI_PLACE_ITEM(object)->page);
    G_OBJECT_CLASS(ui_place_item_parent_class)->finalize(object);
}

static void ui_place_item_class_init(UiPlaceItemClass *class)
{
    G_OBJECT_CLASS(class)->finalize = ui_place_item_finalize;
}

static void ui_place_item_init(UiPlaceItem *self)
{
}

struct _UiContents {
    AdwBin parent;
    GtkSearchEntry *entry;
    GtkListView *list;
    GtkStack *stack;
    GListStore *items;
    GtkSingleSelection *selection;
    UiDocument *document;
    uint64_t here;
    int n_frames; /* since it was shown */
};

enum { SIGNAL_CHOSEN, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE(UiContents, ui_contents, ADW_TYPE_BIN)

/* ---------------------------------------------------------------------------------------------------------------- items */

static char *page_label(const UiDocument *document, uint64_t byte)
{
    int index = ui_document_page_at(document, byte);
    if (index < 0) return g_strdup("");
    const AppPage *page = g_ptr_array_index(document->pages, index);
    return *page->label ? g_strdup(page->label) : g_strdup_printf("%d", index + 1);
}

static void add_page(UiContents *self, GPtrArray *items, int index)
{
    const AppPage *page = g_ptr_array_index(self->document->pages, index);
    UiPlaceItem *item = g_object_new(UI_TYPE_PLACE_ITEM, NULL);
    item->text = *page->label ? g_strdup_printf(_("Go to page %s"), page->label) : g_strdup_printf(_("Go to page %d"), index + 1);
    item->page = g_strdup("");
    item->start = (uint64_t)index;
    item->level = 1;
    item->is_page = true;
    g_ptr_array_add(items, item);
}

static void fill(UiContents *self)
{
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func(g_object_unref);
    const char *typed = gtk_editable_get_text(GTK_EDITABLE(self->entry));
    g_autofree char *wanted = g_utf8_casefold(typed, -1);
    int page = self->document != NULL ? ui_document_find_page(self->document, typed) : -1;
    if (page >= 0) add_page(self, items, page);
    int here = self->document != NULL && *wanted == '\0' ? ui_document_heading_at(self->document, self->here) : -1;
    guint selected = 0;
    for (guint i = 0; self->document != NULL && i < self->document->headings->len && items->len < SHOWN_MAX; i++) {
        const AppHeading *heading = g_ptr_array_index(self->document->headings, i);
        g_autofree char *folded = *wanted != '\0' ? g_utf8_casefold(heading->text, -1) : NULL;
        if (folded != NULL && strstr(folded, wanted) == NULL) continue;
        UiPlaceItem *item = g_object_new(UI_TYPE_PLACE_ITEM, NULL);
        item->text = g_strdup(heading->text);
        item->page = page_label(self->document, heading->start);
        item->start = heading->start;
        item->level = CLAMP(heading->level, 1, 6);
        item->is_here = (int)i == here;
        if (item->is_here) selected = items->len;
        g_ptr_array_add(items, item);
    }
    g_list_store_splice(self->items, 0, g_list_model_get_n_items(G_LIST_MODEL(self->items)), items->pdata, items->len);
    gtk_stack_set_visible_child_name(self->stack, items->len > 0 ? "list" : *wanted != '\0' ? "nothing" : "empty");
    if (items->len > 0) gtk_single_selection_set_selected(self->selection, selected);
}

/* The list must have its size before it can be scrolled: a few frames later. */
static gboolean scroll_to_selected(GtkWidget *widget, GdkFrameClock *clock, gpointer user)
{
    UiContents *self = UI_CONTENTS(widget);
    if (++self->n_frames < SIZED_FRAMES) return G_SOURCE_CONTINUE;
    guint selected = self->selection != NULL ? gtk_single_selection_get_selected(self->selection) : GTK_INVALID_LIST_POSITION;
    if (self->list != NULL && selected != GTK_INVALID_LIST_POSITION) {
        gtk_widget_activate_action(GTK_WIDGET(self->list), "list.scroll-to-item", "u", selected);
    }
    return G_SOURCE_REMOVE;
}

static void choose(UiContents *self, guint position)
{
    g_autoptr(UiPlaceItem) item = g_list_model_get_item(G_LIST_MODEL(self->items), position);
    if (item != NULL) g_signal_emit(self, signals[SIGNAL_CHOSEN], 0, (guint64)item->start, (gboolean)item->is_page);
}

/* ----------------------------------------------------------------------------------------------------------------- rows */

static void on_setup(GtkSignalListItemFactory *factory, GtkListItem *row)
{
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 12), *text = gtk_label_new(NULL), *page = gtk_label_new(NULL);
    gtk_label_set_ellipsize(GTK_LABEL(text), PANGO_ELLIPSIZE_END);
    gtk_label_set_xalign(GTK_LABEL(text), 0);
    gtk_widget_set_hexpand(text, TRUE);
    gtk_widget_add_css_class(page, "dim-label");
    gtk_widget_add_css_class(page, "numeric");
    gtk_box_append(GTK_BOX(box), text);
    gtk_box_append(GTK_BOX(box), page);
    gtk_list_item_set_child(row, box);
}

static void on_bind(GtkSignalListItemFactory *factory, GtkListItem *row)
{
    UiPlaceItem *item = gtk_list_item_get_item(row);
    GtkWidget *box = gtk_list_item_get_child(row), *text = gtk_widget_get_first_child(box), *page = gtk_widget_get_last_child(box);
    gtk_label_set_text(GTK_LABEL(text), item->text);
    gtk_widget_set_tooltip_text(text, item->text);
    gtk_label_set_text(GTK_LABEL(page), item->page);
    g_autofree char *name = *item->page != '\0' ? g_strdup_printf("%s, %s", item->text, item->page) : g_strdup(item->text);
    gtk_accessible_update_property(GTK_ACCESSIBLE(gtk_widget_get_parent(box)), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1); /* what gets the focus */
    gtk_widget_set_margin_start(text, (int)(item->level - 1) * INDENT_PX);
    if (item->is_here || item->is_page) gtk_widget_add_css_class(text, "heading");
    else gtk_widget_remove_css_class(text, "heading");
}

/* --------------------------------------------------------------------------------------------------------------- widget */

static void on_search_changed(UiContents *self)
{
    fill(self);
}

static void on_entry_activate(UiContents *self)
{
    fill(self); /* Return may come before the entry has told of what was typed: it waits for more for a moment */
    guint selected = gtk_single_selection_get_selected(self->selection);
    if (selected != GTK_INVALID_LIST_POSITION) choose(self, selected);
}

static void on_list_activate(UiContents *self, guint position)
{
    choose(self, position);
}

/* The field takes Escape for itself: there is nothing else to be stopped, so what it lies in closes. */
static void on_stop_search(UiContents *self)
{
    GtkWidget *popover = gtk_widget_get_ancestor(GTK_WIDGET(self), GTK_TYPE_POPOVER);
    if (popover != NULL) gtk_popover_popdown(GTK_POPOVER(popover));
}

/* Down from the field goes into the list. */
static gboolean on_key(UiContents *self, guint key, guint code, GdkModifierType state)
{
    if (key != GDK_KEY_Down && key != GDK_KEY_KP_Down) return GDK_EVENT_PROPAGATE;
    return gtk_widget_grab_focus(GTK_WIDGET(self->list));
}

void ui_contents_set_document(UiContents *self, UiDocument *document)
{
    g_clear_pointer(&self->document, ui_document_unref);
    self->document = document != NULL ? ui_document_ref(document) : NULL;
    self->here = 0;
    g_list_store_remove_all(self->items);
}

void ui_contents_show_place(UiContents *self, uint64_t byte)
{
    self->here = byte;
    gtk_editable_set_text(GTK_EDITABLE(self->entry), "");
    fill(self);
    gtk_widget_grab_focus(GTK_WIDGET(self->entry));
    self->n_frames = 0;
    gtk_widget_add_tick_callback(GTK_WIDGET(self), scroll_to_selected, NULL, NULL);
}

static void ui_contents_dispose(GObject *object)
{
    UiContents *self = UI_CONTENTS(object);
    gtk_widget_dispose_template(GTK_WIDGET(self), UI_TYPE_CONTENTS);
    self->list = NULL;
    self->selection = NULL;
    g_clear_pointer(&self->document, ui_document_unref);
    g_clear_object(&self->items);
    G_OBJECT_CLASS(ui_contents_parent_class)->dispose(object);
}

static void ui_contents_class_init(UiContentsClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_contents_dispose;
    gtk_widget_class_set_template_from_resource(widget_class, "/org/lectern/Lectern/ui/reader-contents.ui");
    gtk_widget_class_bind_template_child(widget_class, UiContents, entry);
    gtk_widget_class_bind_template_child(widget_class, UiContents, list);
    gtk_widget_class_bind_template_child(widget_class, UiContents, stack);
    gtk_widget_class_bind_template_callback(widget_class, on_search_changed);
    gtk_widget_class_bind_template_callback(widget_class, on_entry_activate);
    gtk_widget_class_bind_template_callback(widget_class, on_list_activate);
    gtk_widget_class_bind_template_callback(widget_class, on_key);
    gtk_widget_class_bind_template_callback(widget_class, on_stop_search);
    signals[SIGNAL_CHOSEN] =
        g_signal_new("chosen", UI_TYPE_CONTENTS, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 2, G_TYPE_UINT64, G_TYPE_BOOLEAN);
}

static void ui_contents_init(UiContents *self)
{
    gtk_widget_init_template(GTK_WIDGET(self));
    self->items = g_list_store_new(UI_TYPE_PLACE_ITEM);
    self->selection = gtk_single_selection_new(G_LIST_MODEL(g_object_ref(self->items)));
    GtkListItemFactory *factory = gtk_signal_list_item_factory_new();
    g_signal_connect(factory, "setup", G_CALLBACK(on_setup), NULL);
    g_signal_connect(factory, "bind", G_CALLBACK(on_bind), NULL);
    gtk_list_view_set_model(self->list, GTK_SELECTION_MODEL(self->selection));
    gtk_list_view_set_factory(self->list, factory);
    g_object_unref(self->selection);
    g_object_unref(factory);
}
