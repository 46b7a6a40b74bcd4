/* ui-removals.c: see ui-removals.h. */
#define G_LOG_DOMAIN "ui-removals"
#include "ui-removals.h"

#include <glib/gi18n.h>

typedef struct Batch {
    UiRemovals *owner; /* NULL: it is gone */
    GArray *documents; /* int64_t */
    GArray *to_read;   /* those that were queued or being read */
    AdwToast *toast;
} Batch;

struct UiRemovals {
    UiContext *context;
    UiDocumentModel *model, *also;
    void (*add_toast)(gpointer user, AdwToast *toast);
    gpointer user;
    GPtrArray *batches; /* Batch, oldest first */
};

static void free_batch(gpointer data)
{
    Batch *batch = data;
    g_array_unref(batch->documents);
    g_array_unref(batch->to_read);
    g_free(batch);
}

UiRemovals *ui_removals_new(UiContext *context, UiDocumentModel *model, UiDocumentModel *also, void (*add_toast)(gpointer user, AdwToast *toast), gpointer user)
{
    UiRemovals *removals = g_new0(UiRemovals, 1);
    removals->context = g_object_ref(context);
    removals->model = g_object_ref(model);
    removals->also = g_object_ref(also);
    removals->add_toast = add_toast;
    removals->user = user;
    removals->batches = g_ptr_array_new();
    return removals;
}

typedef struct Work {
    UiContext *context;
    GArray *documents;
    enum { WORK_STOP, WORK_READ, WORK_FORGET } kind;
} Work;

static void free_work(gpointer data)
{
    Work *work = data;
    g_object_unref(work->context);
    g_array_unref(work->documents);
    g_free(work);
}

static void do_work(Work *work)
{
    for (guint i = 0; i < work->documents->len; i++) {
        int64_t document = g_array_index(work->documents, int64_t, i);
        AppReadQueue *queue = ui_context_get_queue(work->context);
        g_autoptr(GError) error = NULL;
        if (work->kind == WORK_STOP) app_read_queue_stop_document(queue, document);
        else if (work->kind == WORK_READ) app_read_queue_add_document(queue, document);
        else if (!app_reader_forget(ui_context_get_library(work->context), document, &error)) g_warning("%s", error->message);
    }
}

static void work_on_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    do_work(data);
    g_task_return_boolean(task, TRUE);
}

static void run(UiRemovals *removals, int kind, GArray *documents)
{
    Work *work = g_new0(Work, 1);
    *work = (Work){g_object_ref(removals->context), g_array_ref(documents), kind};
    ui_context_run(removals->context, G_OBJECT(removals->context), work_on_thread, work, free_work, NULL, NULL, NULL);
}

static void hide(UiRemovals *removals, int64_t document, bool hidden)
{
    ui_document_model_hide(removals->model, document, hidden);
    ui_document_model_hide(removals->also, document, hidden);
}

static void restore(UiRemovals *removals, Batch *batch)
{
    for (guint i = 0; i < batch->documents->len; i++) hide(removals, g_array_index(batch->documents, int64_t, i), false);
    if (batch->to_read->len > 0) run(removals, WORK_READ, batch->to_read);
    g_ptr_array_remove(removals->batches, batch);
    batch->owner = NULL;
}

static void on_undo(AdwToast *toast, gpointer user)
{
    Batch *batch = user;
    if (batch->owner != NULL) restore(batch->owner, batch);
}

static void on_dismissed(AdwToast *toast, gpointer user)
{
    Batch *batch = user;
    UiRemovals *removals = batch->owner;
    if (removals == NULL) return;
    run(removals, WORK_FORGET, batch->documents);
    g_ptr_array_remove(removals->batches, batch);
    batch->owner = NULL;
}

static void free_closure(gpointer data, GClosure *closure)
{
    free_batch(data);
}

void ui_removals_remove(UiRemovals *removals, const int64_t *documents, size_t n_documents)
{
    if (n_documents == 0) return;
    Batch *batch = g_new0(Batch, 1);
    batch->owner = removals;
    batch->documents = g_array_new(FALSE, FALSE, sizeof(int64_t));
    batch->to_read = g_array_new(FALSE, FALSE, sizeof(int64_t));
    g_array_append_vals(batch->documents, documents, (guint)n_documents);
    g_autofree char *title = NULL;
    for (size_t i = 0; i < n_documents; i++) {
        UiDocumentItem *item = ui_document_model_find(removals->model, documents[i]);
        AppDocumentState state = item != NULL ? ui_document_item_get_document(item)->state : APP_DOCUMENT_READY;
        if (item != NULL && title == NULL) title = g_strdup(ui_document_item_get_title(item));
        if (state == APP_DOCUMENT_QUEUED || state == APP_DOCUMENT_READING) g_array_append_val(batch->to_read, documents[i]);
    }
    if (batch->to_read->len > 0) run(removals, WORK_STOP, batch->to_read);
    for (size_t i = 0; i < n_documents; i++) hide(removals, documents[i], true);
    g_ptr_array_add(removals->batches, batch);
    g_autofree char *text = n_documents == 1 ? g_strdup_printf(_("“%s” removed"), title != NULL ? title : "")
                                             : g_strdup_printf(ngettext("%u document removed", "%u documents removed", n_documents), (unsigned)n_documents);
    g_autofree char *markup = g_markup_escape_text(text, -1); /* toasts read markup */
    batch->toast = adw_toast_new(markup);
    adw_toast_set_button_label(batch->toast, _("_Undo"));
    adw_toast_set_priority(batch->toast, ADW_TOAST_PRIORITY_HIGH);
    adw_toast_set_timeout(batch->toast, 8);
    g_signal_connect(batch->toast, "button-clicked", G_CALLBACK(on_undo), batch);
    g_signal_connect_data(batch->toast, "dismissed", G_CALLBACK(on_dismissed), batch, free_closure, 0);
    removals->add_toast(removals->user, batch->toast);
}

bool ui_removals_undo(UiRemovals *removals)
{
    if (removals->batches->len == 0) return false;
    Batch *batch = g_ptr_array_index(removals->batches, removals->batches->len - 1);
    AdwToast *toast = batch->toast;
    restore(removals, batch);
    adw_toast_dismiss(toast);
    return true;
}

void ui_removals_free(UiRemovals *removals)
{
    if (removals == NULL) return;
    for (guint i = 0; i < removals->batches->len; i++) {
        Batch *batch = g_ptr_array_index(removals->batches, i);
        Work work = {removals->context, batch->documents, WORK_FORGET};
        do_work(&work);
        batch->owner = NULL;
    }
    g_ptr_array_unref(removals->batches);
    g_object_unref(removals->model);
    g_object_unref(removals->also);
    g_object_unref(removals->context);
    g_free(removals);
}
