/* ui-document-removal.c: see ui-document-removal.h. */
#define G_LOG_DOMAIN "ui-document-removal"
#include "ui-document-removal.h"

#include <glib/gi18n.h>

typedef struct Removal {
    UiContext *context;
    GArray *documents; /* int64_t */
    GArray *to_read;   /* those that were queued or being read */
} Removal;

static void free_removal(gpointer data)
{
    Removal *removal = data;
    g_object_unref(removal->context);
    g_array_unref(removal->documents);
    g_array_unref(removal->to_read);
    g_free(removal);
}

typedef enum WorkKind { WORK_STOP, WORK_READ, WORK_FORGET } WorkKind;

typedef struct Work {
    UiContext *context;
    GArray *documents;
    WorkKind kind;
} Work;

static void free_work(gpointer data)
{
    Work *work = data;
    g_object_unref(work->context);
    g_array_unref(work->documents);
    g_free(work);
}

static void do_work(const Work *work)
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

static void hide(UiContext *context, const GArray *documents, bool is_hidden)
{
    for (guint i = 0; i < documents->len; i++) ui_context_hide_document(context, g_array_index(documents, int64_t, i), is_hidden);
}

/* What is forgotten is no longer hidden: what could not be is seen again. */
static void on_worked(GObject *source, GAsyncResult *result, gpointer user)
{
    const Work *work = g_task_get_task_data(G_TASK(result));
    if (work->kind == WORK_FORGET) hide(work->context, work->documents, false);
}

static void run(const Removal *removal, WorkKind kind, GArray *documents)
{
    Work *work = g_new0(Work, 1);
    *work = (Work){g_object_ref(removal->context), g_array_ref(documents), kind};
    ui_context_run(removal->context, G_OBJECT(removal->context), work_on_thread, work, free_work, NULL, on_worked, NULL);
}

static void restore(gpointer data)
{
    const Removal *removal = data;
    hide(removal->context, removal->documents, false);
    if (removal->to_read->len > 0) run(removal, WORK_READ, removal->to_read);
}

static void forget(gpointer data, bool at_once)
{
    const Removal *removal = data;
    if (!at_once) {
        run(removal, WORK_FORGET, removal->documents);
        return;
    }
    do_work(&(Work){removal->context, removal->documents, WORK_FORGET});
    hide(removal->context, removal->documents, false);
}

void ui_document_removal_begin(UiRemovals *removals, UiContext *context, UiDocumentModel *model, const int64_t *documents, size_t n_documents)
{
    static const UiRemovalKind kind = {.restore = restore, .forget = forget, .free = free_removal};
    if (n_documents == 0) return;
    Removal *removal = g_new0(Removal, 1);
    *removal = (Removal){g_object_ref(context), g_array_new(FALSE, FALSE, sizeof(int64_t)), g_array_new(FALSE, FALSE, sizeof(int64_t))};
    g_array_append_vals(removal->documents, documents, (guint)n_documents);
    g_autofree char *title = NULL;
    for (size_t i = 0; i < n_documents; i++) {
        UiDocumentItem *item = ui_document_model_find(model, documents[i]);
        AppDocumentState state = item != NULL ? ui_document_item_get_document(item)->state : APP_DOCUMENT_READY;
        if (item != NULL && title == NULL) title = g_strdup(ui_document_item_get_title(item));
        if (state == APP_DOCUMENT_QUEUED || state == APP_DOCUMENT_READING) g_array_append_val(removal->to_read, documents[i]);
    }
    if (removal->to_read->len > 0) run(removal, WORK_STOP, removal->to_read);
    hide(context, removal->documents, true);
    g_autofree char *text = n_documents == 1 ? ui_removals_dup_text(title != NULL ? title : "")
                                             : g_strdup_printf(ngettext("%u document removed", "%u documents removed", n_documents), (unsigned)n_documents);
    ui_removals_add(removals, text, &kind, removal);
}
