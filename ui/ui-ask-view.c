/* ui-ask-view.c: see ui-ask-view.h. */
#define G_LOG_DOMAIN "ui-ask-view"
#include "ui-ask-view.h"

#include <glib/gi18n.h>

struct _UiAskView {
    AdwBin parent;
    GtkBox *turns;
    GtkEntry *entry;
    UiContext *context;
    GArray *documents; /* int64_t */
    int64_t collection, conversation;
    GtkLabel *answer; /* of the question in progress */
    bool is_asking, cancel;
};

enum { SIGNAL_ANSWERED, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE(UiAskView, ui_ask_view, ADW_TYPE_BIN)

GtkWidget *ui_ask_view_new(UiContext *context)
{
    UiAskView *self = g_object_new(UI_TYPE_ASK_VIEW, NULL);
    ui_ask_view_set_context(self, context);
    return GTK_WIDGET(self);
}

void ui_ask_view_set_context(UiAskView *self, UiContext *context)
{
    g_set_object(&self->context, context);
}

void ui_ask_view_set_scope(UiAskView *self, const int64_t *documents, size_t n_documents, int64_t collection)
{
    g_array_set_size(self->documents, 0);
    if (n_documents > 0) g_array_append_vals(self->documents, documents, (guint)n_documents);
    self->collection = collection;
    self->conversation = 0;
}

void ui_ask_view_set_conversation(UiAskView *self, int64_t conversation)
{
    self->conversation = conversation;
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
    if (!self->is_asking) return false;
    __atomic_store_n(&self->cancel, true, __ATOMIC_RELAXED);
    return true;
}

static GtkLabel *add_label(UiAskView *self, const char *text)
{
    GtkWidget *label = gtk_label_new(text);
    gtk_label_set_wrap(GTK_LABEL(label), TRUE);
    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_label_set_selectable(GTK_LABEL(label), TRUE);
    gtk_box_append(self->turns, label);
    return GTK_LABEL(label);
}

typedef struct Question {
    AppEngine *engine;
    GArray *documents;
    int64_t collection;
    char *text;
    bool *cancel;
} Question;

static void free_question(gpointer data)
{
    Question *question = data;
    app_engine_unref(question->engine);
    g_array_unref(question->documents);
    g_free(question->text);
    g_free(question);
}

static void ask(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Question *question = data;
    GError *error = NULL;
    g_autoptr(AppAsker) asker = app_asker_new(question->engine);
    AppAskScope scope = {.documents = question->documents->len > 0 ? (int64_t *)question->documents->data : NULL,
                         .n_documents = question->documents->len, .collection = question->collection};
    AppAnswer *answer = app_asker_ask(asker, &scope, question->text, NULL, NULL, NULL, question->cancel, &error);
    if (answer != NULL) g_task_return_pointer(task, answer, (GDestroyNotify)app_answer_free);
    else g_task_return_error(task, error);
}

static void on_answer(GObject *source, GAsyncResult *result, gpointer user)
{
    UiAskView *self = UI_ASK_VIEW(source);
    g_autoptr(GError) error = NULL;
    g_autoptr(AppAnswer) answer = g_task_propagate_pointer(G_TASK(result), &error);
    self->is_asking = false;
    gtk_label_set_text(self->answer, answer != NULL ? answer->answer : error->message);
    if (answer != NULL) g_signal_emit(self, signals[SIGNAL_ANSWERED], 0, answer);
}

static void on_entry_activate(UiAskView *self)
{
    AppEngine *engine = ui_context_get_engine(self->context);
    const char *text = gtk_editable_get_text(GTK_EDITABLE(self->entry));
    if (engine == NULL || self->is_asking || *text == '\0') return;
    Question *question = g_new0(Question, 1);
    question->engine = app_engine_ref(engine);
    question->documents = g_array_copy(self->documents);
    question->collection = self->collection;
    question->text = g_strdup(text);
    question->cancel = &self->cancel;
    self->cancel = false;
    self->is_asking = true;
    add_label(self, text);
    self->answer = add_label(self, _("Looking…"));
    gtk_editable_set_text(GTK_EDITABLE(self->entry), "");
    ui_context_run(self->context, G_OBJECT(self), ask, question, free_question, NULL, on_answer, NULL);
}

static void ui_ask_view_dispose(GObject *object)
{
    UiAskView *self = UI_ASK_VIEW(object);
    ui_ask_view_stop(self);
    gtk_widget_dispose_template(GTK_WIDGET(self), UI_TYPE_ASK_VIEW);
    g_clear_object(&self->context);
    g_clear_pointer(&self->documents, g_array_unref);
    G_OBJECT_CLASS(ui_ask_view_parent_class)->dispose(object);
}

static void ui_ask_view_class_init(UiAskViewClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = ui_ask_view_dispose;
    gtk_widget_class_set_template_from_resource(widget_class, "/org/lectern/Lectern/ui/ask-view.ui");
    gtk_widget_class_bind_template_child(widget_class, UiAskView, turns);
    gtk_widget_class_bind_template_child(widget_class, UiAskView, entry);
    gtk_widget_class_bind_template_callback(widget_class, on_entry_activate);
    signals[SIGNAL_ANSWERED] =
        g_signal_new("answered", UI_TYPE_ASK_VIEW, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_POINTER);
}

static void ui_ask_view_init(UiAskView *self)
{
    gtk_widget_init_template(GTK_WIDGET(self));
    self->documents = g_array_new(FALSE, FALSE, sizeof(int64_t));
}
