/* ui-ask-view.c: see ui-ask-view.h. */
#define G_LOG_DOMAIN "ui-ask-view"
#include "ui-ask-view.h"

#include <glib/gi18n.h>
#include <string.h>

#include "app-paths.h"
#include "ui-asking.h"
#include "ui-conversation-export.h"
#include "ui-format.h"
#include "ui-turn.h"

enum { TURNS_A_STEP = 4, SUGGESTIONS_MAX = 3 };

struct _UiAskView {
    AdwBin parent;
    GtkMenuButton *scope_button;
    GtkLabel *scope_label, *model_label;
    GtkStack *stack;
    AdwStatusPage *empty_page;
    GtkBox *suggestions, *turns, *model_bar;
    GtkScrolledWindow *scroller;
    GtkEntry *entry;
    GtkToggleButton *each_button;
    GtkButton *send_button, *stop_button;

    UiContext *context;
    GArray *documents; /* int64_t: the scope by name; empty: the collection or everything */
    int64_t collection, conversation;
    int64_t last_document; /* asked alone lately: offered again */
    int64_t suggested;     /* whose questions to try are shown; 0: none's */
    uint64_t shown;        /* counts what was shown: late results of another conversation are ignored */

    AppAsker *asker; /* NULL while a question is in progress, or before the first */
    AppEngine *asker_engine;
    UiAsking *asking;
    UiTurn *current;  /* of the question in progress or waiting */
    char *waiting;    /* a question put before the model was loaded */
    bool waiting_each;
    GPtrArray *unshown; /* AppTurn: of a conversation being shown, what is not made into widgets yet */
    guint unshown_at, show_source, scroll_source;
    bool follows; /* the end of the list stays in view */
    int64_t wanted_turn; /* this one does instead, until somebody scrolls; 0: none */
    bool is_scrolling;   /* by itself */
};

enum { SIGNAL_ANSWERED, SIGNAL_LOOKED, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE(UiAskView, ui_ask_view, ADW_TYPE_BIN)

static void start(UiAskView *self, const char *text, bool each);

/* ------------------------------------------------------------------------------------------------------------- state */

bool ui_ask_view_is_busy(UiAskView *self)
{
    return self->asking != NULL || self->waiting != NULL;
}

static void update_buttons(UiAskView *self)
{
    g_autofree char *text = g_strstrip(g_strdup(gtk_editable_get_text(GTK_EDITABLE(self->entry))));
    bool is_busy = ui_ask_view_is_busy(self);
    gtk_widget_set_sensitive(GTK_WIDGET(self->send_button), *text != '\0' && !is_busy);
    gtk_widget_set_visible(GTK_WIDGET(self->send_button), !is_busy);
    gtk_widget_set_visible(GTK_WIDGET(self->stop_button), is_busy);
    gtk_widget_set_visible(GTK_WIDGET(self->each_button), self->documents->len != 1);
    gtk_widget_action_set_enabled(GTK_WIDGET(self), "ask.stop", is_busy);
    bool has_turns = self->conversation != 0;
    gtk_widget_action_set_enabled(GTK_WIDGET(self), "ask.copy", has_turns);
    gtk_widget_action_set_enabled(GTK_WIDGET(self), "ask.export", has_turns);
    gtk_widget_action_set_enabled(GTK_WIDGET(self), "ask.new", has_turns || is_busy);
}

static void update_model(UiAskView *self)
{
    AppEngine *engine = ui_context_get_engine(self->context);
    bool is_loading = ui_context_is_engine_loading(self->context);
    g_autofree char *note = engine != NULL ? app_engine_get_gpu_note(engine) : NULL;
    const char *problem = ui_context_get_engine_problem(self->context), *words = is_loading ? _("Loading the model…") : problem != NULL ? problem : note;
    gtk_label_set_text(self->model_label, words != NULL ? words : "");
    gtk_widget_set_visible(GTK_WIDGET(self->model_bar), words != NULL);
}

static char *scope_words(UiAskView *self)
{
    AppLibrary *library = ui_context_get_library(self->context);
    if (self->documents->len > 1) {
        g_autofree char *count = ui_format_count(self->documents->len);
        return g_strdup_printf(ngettext("%s document", "%s documents", self->documents->len), count);
    }
    if (self->documents->len == 1) {
        g_autoptr(AppDocument) document = app_library_get_document(library, g_array_index(self->documents, int64_t, 0), NULL);
        return g_strdup(document != NULL ? document->title : _("A document that was removed"));
    }
    if (self->collection == 0) return g_strdup(_("Everything"));
    char *name = ui_context_dup_collection_name(self->context, self->collection);
    return name != NULL ? name : g_strdup(_("A collection that was removed"));
}

static void on_suggestion(UiAskView *self, GtkButton *button)
{
    start(self, gtk_button_get_label(button), false);
}

/* The one document that is asked, be it that the collection has no other; NULL: there are several, or none. */
static AppDocument *get_only_document(UiAskView *self)
{
    AppLibrary *library = ui_context_get_library(self->context);
    if (self->documents->len == 1) return app_library_get_document(library, g_array_index(self->documents, int64_t, 0), NULL);
    if (self->documents->len > 1 || app_library_count_documents(library, self->collection, NULL) != 1) return NULL;
    g_autoptr(GPtrArray) all = app_library_list_documents(library, self->collection, APP_ORDER_ADDED, 0, 1, NULL);
    return all != NULL && all->len == 1 ? g_ptr_array_steal_index(all, 0) : NULL;
}

/* The sample that comes with the program has questions to try. */
static void update_suggestions(UiAskView *self)
{
    g_autoptr(AppDocument) document = get_only_document(self);
    bool is_unread = document != NULL && document->state != APP_DOCUMENT_READY;
    adw_status_page_set_description(self->empty_page, is_unread ? _("It can be asked as soon as it has been read.")
                                                                : _("Every answer shows the passage it rests on. Ask in the words of the text."));
    int64_t suggested = document != NULL && !is_unread ? document->id : 0;
    if (suggested == self->suggested) return; /* the buttons stay, and the focus with them */
    self->suggested = suggested;
    for (GtkWidget *child; (child = gtk_widget_get_first_child(GTK_WIDGET(self->suggestions))) != NULL;) gtk_box_remove(self->suggestions, child);
    if (suggested == 0) return;
    g_autofree char *folder = g_build_filename(app_paths_resources(), "samples", NULL);
    g_autofree char *known = g_canonicalize_filename(folder, NULL), *questions = NULL;
    if (!g_str_has_prefix(document->source, known)) return;
    g_autofree char *path = g_build_filename(known, "questions", NULL);
    if (!g_file_get_contents(path, &questions, NULL, NULL)) return;
    g_auto(GStrv) lines = g_strsplit(questions, "\n", SUGGESTIONS_MAX + 1);
    for (int i = 0; i < SUGGESTIONS_MAX && lines[i] != NULL && *lines[i] != '\0'; i++) {
        GtkWidget *button = gtk_button_new_with_label(lines[i]);
        gtk_label_set_wrap(GTK_LABEL(gtk_button_get_child(GTK_BUTTON(button))), TRUE);
        gtk_label_set_justify(GTK_LABEL(gtk_button_get_child(GTK_BUTTON(button))), GTK_JUSTIFY_CENTER);
        g_signal_connect_object(button, "clicked", G_CALLBACK(on_suggestion), self, G_CONNECT_SWAPPED);
        gtk_box_append(self->suggestions, button);
    }
}

static void update_scope(UiAskView *self)
{
    g_autofree char *words = scope_words(self), *name = g_strdup_printf(_("What is asked: %s"), words);
    gtk_label_set_text(self->scope_label, words);
    gtk_accessible_update_property(GTK_ACCESSIBLE(self->scope_button), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
    adw_status_page_set_title(self->empty_page, self->documents->len == 1 ? _("Ask this document") : self->documents->len > 1 ? _("Ask these documents")
                                                : self->collection != 0 ? _("Ask this collection") : _("Ask everything"));
    update_suggestions(self);
    update_buttons(self);
}

static void tell_looked(UiAskView *self, UiTurn *turn)
{
    g_signal_emit(self, signals[SIGNAL_LOOKED], 0, turn);
}

/* The strip beside the text is that of the answer whose passages are gone through. */
static void on_turn_entered(GtkEventControllerFocus *focus, UiAskView *self)
{
    tell_looked(self, UI_TURN(gtk_event_controller_get_widget(GTK_EVENT_CONTROLLER(focus))));
}

/* Takes all turns away and whatever is in progress with them. */
static void clear(UiAskView *self)
{
    self->shown++;
    self->wanted_turn = 0;
    g_clear_handle_id(&self->show_source, g_source_remove);
    g_clear_pointer(&self->unshown, g_ptr_array_unref);
    if (self->asking != NULL) ui_asking_detach(self->asking);
    self->asking = NULL;
    g_clear_pointer(&self->waiting, g_free);
    self->current = NULL;
    for (GtkWidget *child; (child = gtk_widget_get_first_child(GTK_WIDGET(self->turns))) != NULL;) gtk_box_remove(self->turns, child);
    gtk_stack_set_visible_child_name(self->stack, "empty");
    g_signal_emit(self, signals[SIGNAL_ANSWERED], 0, NULL);
    tell_looked(self, NULL);
}

static bool is_same_scope(UiAskView *self, const int64_t *documents, size_t n_documents, int64_t collection)
{
    if (self->documents->len != n_documents) return false;
    return n_documents > 0 ? memcmp(self->documents->data, documents, n_documents * sizeof *documents) == 0 : self->collection == collection;
}

static void set_scope(UiAskView *self, const int64_t *documents, size_t n_documents, int64_t collection)
{
    g_array_set_size(self->documents, 0);
    if (n_documents > 0) g_array_append_vals(self->documents, documents, (guint)n_documents);
    self->collection = n_documents > 0 ? 0 : collection;
    if (n_documents == 1) self->last_document = documents[0];
    update_scope(self);
}

void ui_ask_view_set_scope(UiAskView *self, const int64_t *documents, size_t n_documents, int64_t collection)
{
    if (is_same_scope(self, documents, n_documents, collection)) return;
    self->conversation = 0;
    clear(self);
    set_scope(self, documents, n_documents, collection);
}

int64_t ui_ask_view_get_conversation(UiAskView *self)
{
    return self->conversation;
}

void ui_ask_view_focus_entry(UiAskView *self)
{
    gtk_widget_grab_focus(GTK_WIDGET(self->entry));
}

bool ui_ask_view_stop(UiAskView *self)
{
    if (self->asking != NULL) {
        ui_asking_stop(self->asking);
        return true;
    }
    if (self->waiting == NULL) return false;
    g_clear_pointer(&self->waiting, g_free);
    ui_turn_set_stopped(self->current);
    self->current = NULL;
    update_buttons(self);
    return true;
}

/* ------------------------------------------------------------------------------------------------------------ asking */

static void on_looking(gpointer user, uint32_t n_sections, uint64_t n_tokens, bool is_chosen)
{
    UiAskView *self = user;
    g_autofree char *tokens = ui_format_count(n_tokens), *sections = ui_format_count(n_sections);
    g_autofree char *words = g_strdup_printf(is_chosen ? _("Looking at %s tokens in %s sections…") : _("Choosing from %s tokens in %s sections…"),
                                             tokens, sections);
    ui_turn_set_progress(self->current, words);
}

static void on_text(gpointer user, const char *text, bool in_quotation)
{
    ui_turn_append_text(UI_ASK_VIEW(user)->current, text, in_quotation);
}

static void on_row(gpointer user, const AppAskRow *row, uint32_t index, uint32_t n_rows)
{
    ui_turn_append_row(UI_ASK_VIEW(user)->current, row, n_rows);
}

static void show_failure(UiTurn *turn, const GError *error)
{
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        ui_turn_set_stopped(turn);
    } else if (g_error_matches(error, APP_ASK_ERROR, APP_ASK_ERROR_UNREAD)) {
        ui_turn_set_failure(turn, error->message, _("_Read Now"), "ask.read-scope");
    } else if (error->domain == APP_REMOTE_ERROR) {
        ui_turn_set_failure(turn, error->message, _("_Preferences…"), "app.preferences");
    } else if (g_error_matches(error, APP_ASK_ERROR, APP_ASK_ERROR_EMPTY)) {
        ui_turn_set_failure(turn, error->message, _("_Add Documents…"), "win.add");
    } else {
        ui_turn_set_failure(turn, error->message, NULL, NULL);
    }
}

static void on_done(gpointer user, AppAsker *asker, const AppAnswer *answer, GPtrArray *rows, bool is_stopped, const GError *error)
{
    UiAskView *self = user;
    UiTurn *turn = g_steal_pointer(&self->current);
    UiAsking *asking = g_steal_pointer(&self->asking);
    self->asker = asker;
    self->conversation = ui_asking_get_conversation(asking);
    if (answer != NULL) ui_turn_set_answer(turn, answer);
    else if (rows != NULL) ui_turn_set_rows(turn, rows, is_stopped);
    else show_failure(turn, error);
    if (ui_asking_get_not_kept(asking) != NULL) ui_turn_set_not_kept(turn, ui_asking_get_not_kept(asking));
    update_buttons(self);
    update_model(self); /* a GPU that failed says so, once there was something to do */
    if (answer != NULL) g_signal_emit(self, signals[SIGNAL_ANSWERED], 0, answer);
    if (answer != NULL) tell_looked(self, turn);
}

static const UiAskingHandlers HANDLERS = {.looking = on_looking, .text = on_text, .row = on_row, .done = on_done};

static void ask(UiAskView *self, const char *text, bool each)
{
    AppEngine *engine = ui_context_get_engine(self->context);
    if (self->asker_engine != engine) { /* another model: what the asker keeps open is the old one's */
        g_clear_pointer(&self->asker, app_asker_free);
        g_clear_pointer(&self->asker_engine, app_engine_unref);
        self->asker_engine = app_engine_ref(engine);
    }
    UiQuestion question = {.text = text, .documents = (const int64_t *)(void *)self->documents->data, .n_documents = self->documents->len,
                           .collection = self->collection, .conversation = self->conversation, .each = each};
    self->asking = ui_asking_start(engine, g_steal_pointer(&self->asker), &question, &HANDLERS, self);
}

static UiTurn *append_turn(UiAskView *self, const char *question)
{
    GtkWidget *turn = ui_turn_new(question);
    GtkEventController *focus = gtk_event_controller_focus_new();
    g_signal_connect_object(focus, "enter", G_CALLBACK(on_turn_entered), self, 0);
    gtk_widget_add_controller(turn, focus);
    gtk_box_append(self->turns, turn);
    gtk_stack_set_visible_child_name(self->stack, "turns");
    return UI_TURN(turn);
}

static void start(UiAskView *self, const char *text, bool each)
{
    if (ui_ask_view_is_busy(self)) return;
    self->current = append_turn(self, text);
    self->follows = true;
    self->wanted_turn = 0;
    if (ui_context_get_engine(self->context) != NULL) {
        ui_turn_set_progress(self->current, _("Looking…"));
        ask(self, text, each);
    } else if (ui_context_is_engine_loading(self->context)) {
        ui_turn_set_progress(self->current, _("Loading the model…"));
        self->waiting = g_strdup(text);
        self->waiting_each = each;
    } else {
        const char *problem = ui_context_get_engine_problem(self->context);
        ui_turn_set_failure(g_steal_pointer(&self->current), problem != NULL ? problem : _("There is no model."), _("_Models…"), "app.models");
    }
    update_buttons(self);
}

static void on_ask(UiAskView *self)
{
    g_autofree char *text = g_strstrip(g_strdup(gtk_editable_get_text(GTK_EDITABLE(self->entry))));
    if (*text == '\0' || ui_ask_view_is_busy(self)) return;
    gtk_editable_set_text(GTK_EDITABLE(self->entry), "");
    start(self, text, self->documents->len != 1 && gtk_toggle_button_get_active(self->each_button));
}

static void on_engine_changed(UiAskView *self)
{
    update_model(self);
    if (self->waiting == NULL) return;
    g_autofree char *text = g_steal_pointer(&self->waiting);
    if (ui_context_get_engine(self->context) != NULL) {
        ask(self, text, self->waiting_each);
    } else if (!ui_context_is_engine_loading(self->context)) {
        ui_turn_set_failure(g_steal_pointer(&self->current), ui_context_get_engine_problem(self->context), _("_Models…"), "app.models");
    } else {
        self->waiting = g_steal_pointer(&text);
    }
    update_buttons(self);
}

/* ----------------------------------------------------------------------------------------------- an earlier conversation */

typedef struct Loaded {
    GPtrArray *turns; /* AppTurn */
    GArray *documents;
    int64_t collection;
} Loaded;

typedef struct Load {
    AppLibrary *library;
    int64_t conversation;
    uint64_t shown;
} Load;

static void free_loaded(gpointer data)
{
    Loaded *loaded = data;
    if (loaded->turns != NULL) g_ptr_array_unref(loaded->turns);
    if (loaded->documents != NULL) g_array_unref(loaded->documents);
    g_free(loaded);
}

static void free_load(gpointer data)
{
    app_library_unref(((Load *)data)->library);
    g_free(data);
}

static void load_conversation(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Load *load = data;
    Loaded *loaded = g_new0(Loaded, 1);
    GError *error = NULL;
    if (app_ask_get_conversation_scope(load->library, load->conversation, &loaded->documents, &loaded->collection, &error)) {
        loaded->turns = app_library_list_turns(load->library, load->conversation, &error);
    }
    if (error == NULL) {
        g_task_return_pointer(task, loaded, free_loaded);
    } else {
        free_loaded(loaded);
        g_task_return_error(task, error);
    }
}

static void show_turn(UiAskView *self, const AppTurn *turn)
{
    UiTurn *widget = append_turn(self, turn->question);
    ui_turn_set_id(widget, turn->id);
    g_autoptr(GPtrArray) rows = app_ask_rows_from_turn(turn);
    if (rows != NULL) {
        ui_turn_set_rows(widget, rows, false);
        return;
    }
    g_autoptr(AppAnswer) answer = app_answer_from_turn(turn);
    ui_turn_set_answer(widget, answer);
    tell_looked(self, widget);
}

/* Few widgets at a time: a long conversation does not hold up the main loop. */
static gboolean show_some(gpointer user)
{
    UiAskView *self = user;
    for (int i = 0; i < TURNS_A_STEP && self->unshown_at < self->unshown->len; i++) {
        show_turn(self, g_ptr_array_index(self->unshown, self->unshown_at++));
    }
    if (self->unshown_at < self->unshown->len) return G_SOURCE_CONTINUE;
    g_clear_pointer(&self->unshown, g_ptr_array_unref);
    self->show_source = 0;
    return G_SOURCE_REMOVE;
}

static void on_conversation_loaded(GObject *source, GAsyncResult *result, gpointer user)
{
    UiAskView *self = UI_ASK_VIEW(source);
    const Load *load = g_task_get_task_data(G_TASK(result));
    g_autoptr(GError) error = NULL;
    Loaded *loaded = g_task_propagate_pointer(G_TASK(result), &error);
    if (load->shown == self->shown && self->context != NULL) {
        if (loaded != NULL) {
            set_scope(self, (const int64_t *)(void *)loaded->documents->data, loaded->documents->len, loaded->collection);
            self->unshown = g_steal_pointer(&loaded->turns);
            self->unshown_at = 0;
            self->follows = self->wanted_turn == 0;
            self->show_source = g_idle_add(show_some, self);
        } else {
            self->conversation = 0;
            ui_turn_set_failure(append_turn(self, ""), error->message, NULL, NULL);
        }
        update_buttons(self);
    }
    if (loaded != NULL) free_loaded(loaded);
}

void ui_ask_view_set_conversation(UiAskView *self, int64_t conversation)
{
    if (conversation == self->conversation && conversation != 0) return;
    self->conversation = conversation;
    clear(self);
    update_buttons(self);
    if (conversation == 0) return;
    Load *load = g_new0(Load, 1);
    load->library = app_library_ref(ui_context_get_library(self->context));
    load->conversation = conversation;
    load->shown = self->shown;
    ui_context_run(self->context, G_OBJECT(self), load_conversation, load, free_load, NULL, on_conversation_loaded, NULL);
}

/* ----------------------------------------------------------------------------------------------------------- actions */

static void on_new(GtkWidget *widget, const char *name, GVariant *parameter)
{
    ui_ask_view_set_conversation(UI_ASK_VIEW(widget), 0);
    ui_ask_view_focus_entry(UI_ASK_VIEW(widget));
}

static void on_stop(GtkWidget *widget, const char *name, GVariant *parameter)
{
    ui_ask_view_stop(UI_ASK_VIEW(widget));
}

static void on_read_scope(GtkWidget *widget, const char *name, GVariant *parameter)
{
    UiAskView *self = UI_ASK_VIEW(widget);
    AppReadQueue *queue = ui_context_get_queue(self->context);
    for (guint i = 0; i < self->documents->len; i++) app_read_queue_add_document(queue, g_array_index(self->documents, int64_t, i));
    if (self->documents->len > 0) return;
    g_autoptr(GPtrArray) documents =
        app_library_list_documents(ui_context_get_library(self->context), self->collection, APP_ORDER_ADDED, 0, 0, NULL);
    for (guint i = 0; documents != NULL && i < documents->len; i++) {
        const AppDocument *document = documents->pdata[i];
        if (document->state != APP_DOCUMENT_READY) app_read_queue_add_document(queue, document->id);
    }
}

static void on_set_scope(GtkWidget *widget, const char *name, GVariant *parameter)
{
    gint64 document, collection;
    g_variant_get(parameter, "(xx)", &document, &collection);
    int64_t documents[1] = {document};
    ui_ask_view_set_scope(UI_ASK_VIEW(widget), documents, document != 0, collection);
}

static void add_scope(GMenu *menu, const char *label, int64_t document, int64_t collection)
{
    g_autoptr(GMenuItem) item = g_menu_item_new(label, NULL);
    g_menu_item_set_action_and_target(item, "ask.set-scope", "(xx)", (gint64)document, (gint64)collection);
    g_menu_append_item(menu, item);
}

static void make_scope_menu(GtkMenuButton *button, gpointer user)
{
    UiAskView *self = user;
    AppLibrary *library = ui_context_get_library(self->context);
    g_autoptr(GMenu) menu = g_menu_new(), first = g_menu_new(), list = g_menu_new();
    g_autoptr(AppDocument) document = self->last_document != 0 ? app_library_get_document(library, self->last_document, NULL) : NULL;
    if (document != NULL) add_scope(first, document->title, document->id, 0);
    add_scope(first, _("Everything"), 0, 0);
    g_autoptr(GPtrArray) collections = app_library_list_collections(library, NULL);
    for (guint i = 0; collections != NULL && i < collections->len; i++) {
        const AppCollection *collection = collections->pdata[i];
        add_scope(list, collection->name, 0, collection->id);
    }
    g_menu_append_section(menu, NULL, G_MENU_MODEL(first));
    if (collections != NULL && collections->len > 0) g_menu_append_section(menu, _("Collections"), G_MENU_MODEL(list));
    gtk_menu_button_set_menu_model(button, G_MENU_MODEL(menu));
}

static void on_copy_conversation(GtkWidget *widget, const char *name, GVariant *parameter)
{
    ui_conversation_copy(widget, UI_ASK_VIEW(widget)->context, UI_ASK_VIEW(widget)->conversation);
}

static void on_export(GtkWidget *widget, const char *name, GVariant *parameter)
{
    ui_conversation_export(widget, UI_ASK_VIEW(widget)->context, UI_ASK_VIEW(widget)->conversation);
}

/* --------------------------------------------------------------------------------------------------------- the object */

static GtkWidget *find_turn(UiAskView *self, int64_t id)
{
    GtkWidget *turn = id != 0 ? gtk_widget_get_last_child(GTK_WIDGET(self->turns)) : NULL;
    while (turn != NULL && ui_turn_get_id(UI_TURN(turn)) != id) turn = gtk_widget_get_prev_sibling(turn);
    return turn;
}

static gboolean scroll(gpointer user)
{
    UiAskView *self = user;
    GtkAdjustment *adjustment = gtk_scrolled_window_get_vadjustment(self->scroller);
    GtkWidget *turn = find_turn(self, self->wanted_turn);
    graphene_rect_t place;
    self->scroll_source = 0;
    self->is_scrolling = true;
    if (turn != NULL && gtk_widget_compute_bounds(turn, GTK_WIDGET(self->turns), &place)) gtk_adjustment_set_value(adjustment, place.origin.y);
    else if (self->follows) gtk_adjustment_set_value(adjustment, gtk_adjustment_get_upper(adjustment) - gtk_adjustment_get_page_size(adjustment));
    self->is_scrolling = false;
    return G_SOURCE_REMOVE;
}

static void want_scroll(UiAskView *self)
{
    if (self->scroll_source == 0) self->scroll_source = g_idle_add(scroll, self);
}

void ui_ask_view_show_turn(UiAskView *self, int64_t turn)
{
    self->wanted_turn = turn;
    self->follows = false;
    want_scroll(self);
}

/* Not at once: this comes in the middle of an allocation. */
static void on_extent_changed(GtkAdjustment *adjustment, gpointer user)
{
    UiAskView *self = user;
    if (self->follows || self->wanted_turn != 0) want_scroll(self);
}

/* Scrolling up by hand ends following; reaching the end begins it again. */
static void on_scrolled(GtkAdjustment *adjustment, gpointer user)
{
    if (UI_ASK_VIEW(user)->scroll_source != 0 || UI_ASK_VIEW(user)->is_scrolling) return;
    UI_ASK_VIEW(user)->wanted_turn = 0;
    double left = gtk_adjustment_get_upper(adjustment) - gtk_adjustment_get_page_size(adjustment) - gtk_adjustment_get_value(adjustment);
    UI_ASK_VIEW(user)->follows = left < 8;
}

static void on_library_changed(UiAskView *self, gint64 document)
{
    g_autofree char *words = scope_words(self);
    gtk_label_set_text(self->scope_label, words);
    update_suggestions(self);
}

GtkWidget *ui_ask_view_new(UiContext *context)
{
    UiAskView *self = g_object_new(UI_TYPE_ASK_VIEW, NULL);
    ui_ask_view_set_context(self, context);
    return GTK_WIDGET(self);
}

void ui_ask_view_set_context(UiAskView *self, UiContext *context)
{
    if (!g_set_object(&self->context, context)) return;
    g_signal_connect_object(context, "engine-changed", G_CALLBACK(on_engine_changed), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(context, "library-changed", G_CALLBACK(on_library_changed), self, G_CONNECT_SWAPPED);
    update_model(self);
    update_scope(self);
}

static void ui_ask_view_dispose(GObject *object)
{
    UiAskView *self = UI_ASK_VIEW(object);
    if (self->asking != NULL) ui_asking_detach(self->asking);
    self->asking = NULL;
    g_clear_handle_id(&self->show_source, g_source_remove);
    g_clear_handle_id(&self->scroll_source, g_source_remove);
    g_clear_pointer(&self->unshown, g_ptr_array_unref);
    g_clear_pointer(&self->waiting, g_free);
    g_clear_pointer(&self->asker, app_asker_free);
    g_clear_pointer(&self->asker_engine, app_engine_unref);
    gtk_widget_dispose_template(GTK_WIDGET(self), UI_TYPE_ASK_VIEW);
    g_clear_object(&self->context);
    G_OBJECT_CLASS(ui_ask_view_parent_class)->dispose(object);
}

static void ui_ask_view_finalize(GObject *object)
{
    g_array_unref(UI_ASK_VIEW(object)->documents);
    G_OBJECT_CLASS(ui_ask_view_parent_class)->finalize(object);
}

static void bind_template(GtkWidgetClass *widget_class)
{
    gtk_widget_class_set_template_from_resource(widget_class, "/org/lectern/Lectern/ui/ask-view.ui");
    gtk_widget_class_bind_template_child(widget_class, UiAskView, scope_button);
    gtk_widget_class_bind_template_child(widget_class, UiAskView, scope_label);
    gtk_widget_class_bind_template_child(widget_class, UiAskView, stack);
    gtk_widget_class_bind_template_child(widget_class, UiAskView, empty_page);
    gtk_widget_class_bind_template_child(widget_class, UiAskView, suggestions);
    gtk_widget_class_bind_template_child(widget_class, UiAskView, turns);
    gtk_widget_class_bind_template_child(widget_class, UiAskView, scroller);
    gtk_widget_class_bind_template_child(widget_class, UiAskView, model_bar);
    gtk_widget_class_bind_template_child(widget_class, UiAskView, model_label);
    gtk_widget_class_bind_template_child(widget_class, UiAskView, entry);
    gtk_widget_class_bind_template_child(widget_class, UiAskView, each_button);
    gtk_widget_class_bind_template_child(widget_class, UiAskView, send_button);
    gtk_widget_class_bind_template_child(widget_class, UiAskView, stop_button);
    gtk_widget_class_bind_template_callback(widget_class, on_ask);
    gtk_widget_class_bind_template_callback(widget_class, update_buttons);
}

static void ui_ask_view_class_init(UiAskViewClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_ask_view_dispose;
    G_OBJECT_CLASS(class)->finalize = ui_ask_view_finalize;
    bind_template(widget_class);
    gtk_widget_class_install_action(widget_class, "ask.new", NULL, on_new);
    gtk_widget_class_install_action(widget_class, "ask.stop", NULL, on_stop);
    gtk_widget_class_install_action(widget_class, "ask.copy", NULL, on_copy_conversation);
    gtk_widget_class_install_action(widget_class, "ask.export", NULL, on_export);
    gtk_widget_class_install_action(widget_class, "ask.read-scope", NULL, on_read_scope);
    gtk_widget_class_install_action(widget_class, "ask.set-scope", "(xx)", on_set_scope);
    signals[SIGNAL_ANSWERED] =
        g_signal_new("answered", UI_TYPE_ASK_VIEW, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_POINTER);
    signals[SIGNAL_LOOKED] =
        g_signal_new("looked", UI_TYPE_ASK_VIEW, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1, UI_TYPE_TURN);
}

static void ui_ask_view_init(UiAskView *self)
{
    gtk_widget_init_template(GTK_WIDGET(self));
    self->documents = g_array_new(FALSE, FALSE, sizeof(int64_t));
    gtk_menu_button_set_create_popup_func(self->scope_button, make_scope_menu, self, NULL);
    GtkAdjustment *adjustment = gtk_scrolled_window_get_vadjustment(self->scroller);
    g_signal_connect_object(adjustment, "changed", G_CALLBACK(on_extent_changed), self, 0);
    g_signal_connect_object(adjustment, "value-changed", G_CALLBACK(on_scrolled), self, 0);
    /* Escape stops wherever the focus is; without a question in progress the action is disabled and Escape goes on. */
    GtkEventController *controller = gtk_shortcut_controller_new();
    gtk_shortcut_controller_set_scope(GTK_SHORTCUT_CONTROLLER(controller), GTK_SHORTCUT_SCOPE_GLOBAL);
    gtk_shortcut_controller_add_shortcut(GTK_SHORTCUT_CONTROLLER(controller),
                                         gtk_shortcut_new(gtk_keyval_trigger_new(GDK_KEY_Escape, 0), gtk_named_action_new("ask.stop")));
    gtk_widget_add_controller(GTK_WIDGET(self), controller);
    update_buttons(self);
}
