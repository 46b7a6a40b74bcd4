/* ui-document-model.c: see ui-document-model.h.
 *
 * A query runs on a thread and makes a whole new array of items. On the main thread those that were listed before keep their objects
 * (rows and the selection hang on them) and take over what the new ones know; only the part between the common beginning and end is told
 * as changed. Old data is freed on a thread again. While a query runs, further wishes are joined into one more query.
 *
 * A list view makes its two hundred rows in the very call that tells it of new items, which takes longer than a frame. So a large insertion
 * is told piece by piece: the rest is a gap in the list that closes as the main loop finds time.
 */
#define G_LOG_DOMAIN "ui-document-model"
#include "ui-document-model.h"

#include <stdlib.h>
#include <string.h>

typedef struct Query {
    UiContext *context;
    int64_t collection;
    UiDocumentOrder order;
    UiDocumentFilter filter;
    char *words;
    GArray *hidden;  /* int64_t */
    guint n_hidings; /* counts changes of what is hidden: a result from before the latest is not shown */
} Query;

typedef struct Result {
    GPtrArray *items;
    uint32_t n_documents, n_library;
} Result;

enum { GAP_STEP = 6, GAP_ROWS = 240 }; /* items told at once; the list view makes no rows for what is farther away */

struct _UiDocumentModel {
    GObject parent;
    UiContext *context;
    GPtrArray *items;  /* UiDocumentItem */
    guint gap_start, gap_len, gap_told; /* items not told yet; how many of this insertion were */
    guint gap_source;
    Result *waiting; /* a result that came while there was a gap */
    bool is_inactive;
    GHashTable *by_id; /* gint64 -> UiDocumentItem, borrowed */
    Query query;       /* without context and hidden */
    uint32_t n_documents, n_library;
    bool is_loaded, is_loading, is_dirty;
    guint reload_source;
    gint64 load_began_us, load_took_us;
    GHashTable *touched; /* gint64: single documents to look at again while a fetch runs */
    bool is_fetching;
    GQueue plans; /* gint64* wanted */
    bool is_planning;
    bool cancel_plan;
};

static guint signal_loaded;

static void ui_document_model_list_init(GListModelInterface *iface);
G_DEFINE_FINAL_TYPE_WITH_CODE(UiDocumentModel, ui_document_model, G_TYPE_OBJECT,
                              G_IMPLEMENT_INTERFACE(G_TYPE_LIST_MODEL, ui_document_model_list_init))

static GType get_item_type(GListModel *list) { return UI_TYPE_DOCUMENT_ITEM; }
static guint get_n_items(GListModel *list) { return UI_DOCUMENT_MODEL(list)->items->len - UI_DOCUMENT_MODEL(list)->gap_len; }

static gpointer get_item(GListModel *list, guint position)
{
    UiDocumentModel *self = UI_DOCUMENT_MODEL(list);
    if (position >= self->gap_start) position += self->gap_len;
    return position < self->items->len ? g_object_ref(g_ptr_array_index(self->items, position)) : NULL;
}

static void ui_document_model_list_init(GListModelInterface *iface)
{
    iface->get_item_type = get_item_type;
    iface->get_n_items = get_n_items;
    iface->get_item = get_item;
}

/* ------------------------------------------------------------------------------------------------- on the thread */

static bool passes_filter(UiDocumentFilter filter, AppDocumentState state)
{
    switch (filter) {
    case UI_FILTER_READY: return state == APP_DOCUMENT_READY;
    case UI_FILTER_UNREAD: return state == APP_DOCUMENT_NEW || state == APP_DOCUMENT_QUEUED || state == APP_DOCUMENT_READING || state == APP_DOCUMENT_PAUSED;
    case UI_FILTER_PROBLEM: return state == APP_DOCUMENT_FAILED || state == APP_DOCUMENT_NO_TEXT;
    case UI_FILTER_ALL: break;
    }
    return true;
}

static bool has_words(UiDocumentItem *item, char **words)
{
    if (words[0] == NULL) return true;
    g_autofree char *text = g_strconcat(ui_document_item_get_title(item), " ", ui_document_item_get_byline(item), NULL);
    g_autofree char *normal = g_utf8_normalize(text, -1, G_NORMALIZE_ALL);
    g_autofree char *folded = g_utf8_casefold(normal != NULL ? normal : text, -1);
    for (; *words != NULL; words++) {
        if (strstr(folded, *words) == NULL) return false;
    }
    return true;
}

typedef struct Sortable {
    UiDocumentItem *item;
    char *key; /* texts */
    int64_t number;
} Sortable;

static int compare(const void *a, const void *b)
{
    const Sortable *x = a, *y = b;
    int order = x->key != NULL ? strcmp(x->key, y->key) : (x->number < y->number) - (x->number > y->number); /* numbers: largest first */
    if (order != 0) return order;
    int64_t id_x = ui_document_item_get_id(x->item), id_y = ui_document_item_get_id(y->item);
    return (id_x < id_y) - (id_x > id_y);
}

static Sortable make_sortable(UiDocumentItem *item, UiDocumentOrder order)
{
    const AppDocument *document = ui_document_item_get_document(item);
    const char *byline = ui_document_item_get_byline(item);
    switch (order) {
    case UI_ORDER_TITLE: return (Sortable){item, g_utf8_collate_key_for_filename(document->title, -1), 0};
    case UI_ORDER_AUTHOR: return (Sortable){item, g_utf8_collate_key_for_filename(*byline != '\0' ? byline : "\xef\xbf\xbd", -1), 0};
    case UI_ORDER_LENGTH: return (Sortable){item, NULL, (int64_t)document->n_chars};
    case UI_ORDER_CHANGED: return (Sortable){item, NULL, document->updated_s};
    case UI_ORDER_ADDED: break;
    }
    return (Sortable){item, NULL, document->id};
}

static void sort_items(GPtrArray *items, UiDocumentOrder order)
{
    g_autofree Sortable *sortables = g_new(Sortable, items->len + 1);
    for (guint i = 0; i < items->len; i++) sortables[i] = make_sortable(g_ptr_array_index(items, i), order);
    qsort(sortables, items->len, sizeof *sortables, compare);
    for (guint i = 0; i < items->len; i++) {
        items->pdata[i] = sortables[i].item;
        g_free(sortables[i].key);
    }
}

static char **fold_words(const char *words)
{
    g_autofree char *normal = g_utf8_normalize(words, -1, G_NORMALIZE_ALL);
    g_autofree char *folded = g_utf8_casefold(normal != NULL ? normal : "", -1);
    g_auto(GStrv) parts = g_strsplit_set(folded, " \t\"“”„", -1);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    for (char **part = parts; *part != NULL; part++) {
        if (**part != '\0') g_strv_builder_add(builder, *part);
    }
    return g_strv_builder_end(builder);
}

static void free_result(gpointer data)
{
    Result *result = data;
    g_ptr_array_unref(result->items);
    g_free(result);
}

static void run_query(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Query *query = data;
    AppLibrary *library = ui_context_get_library(query->context);
    GError *error = NULL;
    g_autoptr(GPtrArray) documents = app_library_list_documents(library, query->collection, APP_ORDER_ADDED, 0, 0, &error);
    if (documents == NULL) {
        g_task_return_error(task, error);
        return;
    }
    g_autoptr(GHashTable) sizes = app_reader_list_sizes(library, NULL);
    g_auto(GStrv) words = fold_words(query->words);
    g_autoptr(GHashTable) hidden = g_hash_table_new(g_int64_hash, g_int64_equal);
    for (guint i = 0; i < query->hidden->len; i++) g_hash_table_add(hidden, &g_array_index(query->hidden, gint64, i));
    Result *result = g_new0(Result, 1);
    result->items = g_ptr_array_new_with_free_func(g_object_unref);
    g_ptr_array_set_free_func(documents, NULL);
    for (guint i = 0; i < documents->len; i++) {
        AppDocument *document = g_ptr_array_index(documents, i);
        gint64 id = document->id;
        bool listed = !g_hash_table_contains(hidden, &id);
        result->n_documents += listed;
        if (!listed || !passes_filter(query->filter, document->state)) {
            app_document_free(document);
            continue;
        }
        const guint64 *size = sizes != NULL ? g_hash_table_lookup(sizes, document->uid) : NULL;
        UiDocumentItem *item = ui_document_item_new(document, size != NULL ? *size : 0);
        if (has_words(item, words)) g_ptr_array_add(result->items, item);
        else g_object_unref(item);
    }
    sort_items(result->items, query->order);
    const int64_t *gone = (const int64_t *)(void *)query->hidden->data;
    int64_t n_library = query->collection == 0 ? result->n_documents
                                               : app_library_count_documents_without(library, 0, gone, query->hidden->len, NULL);
    result->n_library = (uint32_t)MAX(n_library, 0);
    g_task_return_pointer(task, result, free_result);
}

static void free_query(gpointer data)
{
    Query *query = data;
    g_object_unref(query->context);
    g_array_unref(query->hidden);
    g_free(query->words);
    g_free(query);
}

/* --------------------------------------------------------------------------------------------------- in place */

static void free_on_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    g_task_return_boolean(task, TRUE); /* the task's data is freed on this thread when it drops the last reference, or on the main one */
    g_ptr_array_set_size(data, 0);
}

static void index_items(UiDocumentModel *self)
{
    g_hash_table_remove_all(self->by_id);
    for (guint i = 0; i < self->items->len; i++) {
        gint64 id = ui_document_item_get_id(g_ptr_array_index(self->items, i));
        g_hash_table_insert(self->by_id, g_memdup2(&id, sizeof id), g_ptr_array_index(self->items, i));
    }
}

static void take_result(UiDocumentModel *self, Result *result);

static void shrink_gap(UiDocumentModel *self, guint n)
{
    guint at = self->gap_start;
    n = MIN(n, self->gap_len);
    self->gap_start += n;
    self->gap_len -= n;
    self->gap_told += n;
    if (n > 0) g_list_model_items_changed(G_LIST_MODEL(self), at, 0, n);
}

static gboolean close_gap(gpointer user)
{
    UiDocumentModel *self = user;
    shrink_gap(self, self->gap_told >= GAP_ROWS ? G_MAXUINT : GAP_STEP);
    if (self->gap_len > 0) return G_SOURCE_CONTINUE;
    self->gap_source = 0;
    Result *waiting = g_steal_pointer(&self->waiting);
    if (waiting != NULL) take_result(self, waiting);
    return G_SOURCE_REMOVE;
}

static void open_gap(UiDocumentModel *self, guint start, guint n)
{
    self->gap_start = start;
    self->gap_len = n;
    self->gap_told = 0;
    if (self->gap_source == 0) self->gap_source = g_idle_add(close_gap, self);
}

static void take_items(UiDocumentModel *self, GPtrArray *items)
{
    GPtrArray *gone = g_ptr_array_new_with_free_func(g_object_unref);
    for (guint i = 0; i < items->len; i++) {
        UiDocumentItem *fresh = g_ptr_array_index(items, i), *kept = ui_document_model_find(self, ui_document_item_get_id(fresh));
        if (kept == NULL) continue;
        ui_document_item_swap(kept, fresh);
        items->pdata[i] = g_object_ref(kept);
        g_ptr_array_add(gone, fresh);
    }
    GPtrArray *before = self->items;
    guint first = 0, n_same_end = 0;
    while (first < before->len && first < items->len && before->pdata[first] == items->pdata[first]) first++;
    while (n_same_end < before->len - first && n_same_end < items->len - first &&
           before->pdata[before->len - 1 - n_same_end] == items->pdata[items->len - 1 - n_same_end]) n_same_end++;
    guint n_removed = before->len - first - n_same_end, n_added = items->len - first - n_same_end;
    self->items = g_ptr_array_ref(items);
    index_items(self);
    guint n_told = MIN(n_added, 2 * GAP_STEP);
    if (n_told < n_added) open_gap(self, first + n_told, n_added - n_told);
    if (n_removed > 0 || n_told > 0) g_list_model_items_changed(G_LIST_MODEL(self), first, n_removed, n_told);
    g_ptr_array_extend_and_steal(gone, before);
    ui_context_run(self->context, G_OBJECT(self), free_on_thread, gone, (GDestroyNotify)g_ptr_array_unref, NULL, NULL, NULL);
}

static void reload(UiDocumentModel *self);

static gboolean reload_later(gpointer user)
{
    UiDocumentModel *self = user;
    self->reload_source = 0;
    reload(self);
    return G_SOURCE_REMOVE;
}

static void on_result(GObject *source, GAsyncResult *task, gpointer user)
{
    UiDocumentModel *self = UI_DOCUMENT_MODEL(source);
    Query *query = g_task_get_task_data(G_TASK(task));
    g_autoptr(GError) error = NULL;
    Result *result = g_task_propagate_pointer(G_TASK(task), &error);
    self->is_loading = false;
    self->load_took_us = g_get_monotonic_time() - self->load_began_us;
    if (self->is_dirty && self->reload_source == 0) {
        /* A library that changes all the time (files coming in) must not keep a core busy with listing it. */
        self->reload_source = g_timeout_add((guint)CLAMP(self->load_took_us / 1000 * 2, 20, 2000), reload_later, self);
    }
    if (result == NULL) {
        g_warning("%s", error->message);
        return;
    }
    if (query->n_hidings != self->query.n_hidings) {
        free_result(result); /* the next one is on its way */
    } else if (self->gap_len == 0) {
        take_result(self, result);
    } else {
        g_clear_pointer(&self->waiting, free_result);
        self->waiting = result;
    }
}

static void take_result(UiDocumentModel *self, Result *result)
{
    self->n_documents = result->n_documents;
    self->n_library = result->n_library;
    take_items(self, result->items);
    self->is_loaded = true;
    free_result(result);
    g_signal_emit(self, signal_loaded, 0);
}

static void reload(UiDocumentModel *self)
{
    self->is_dirty = self->is_loading;
    if (self->is_loading || self->context == NULL || self->is_inactive) return;
    g_clear_handle_id(&self->reload_source, g_source_remove);
    Query *query = g_memdup2(&self->query, sizeof self->query);
    query->context = g_object_ref(self->context);
    query->words = g_strdup(self->query.words);
    query->hidden = ui_context_dup_hidden(self->context);
    self->is_loading = true;
    self->load_began_us = g_get_monotonic_time();
    ui_context_run(self->context, G_OBJECT(self), run_query, query, free_query, NULL, on_result, NULL);
}

/* ------------------------------------------------------------------------------------------- single documents */

typedef struct Fetch {
    UiContext *context;
    int64_t document;
} Fetch;

static void free_fetch(gpointer data)
{
    g_object_unref(((Fetch *)data)->context);
    g_free(data);
}

static void run_fetch(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Fetch *fetch = data;
    AppLibrary *library = ui_context_get_library(fetch->context);
    GError *error = NULL;
    AppDocument *document = app_library_get_document(library, fetch->document, &error);
    if (document == NULL) {
        g_task_return_error(task, error);
        return;
    }
    guint64 bytes = UINT64_MAX; /* while it is read, this comes too often to ask the cache each time */
    if (document->state != APP_DOCUMENT_READING) {
        g_autoptr(GHashTable) sizes = app_reader_list_sizes(library, NULL);
        const guint64 *size = sizes != NULL ? g_hash_table_lookup(sizes, document->uid) : NULL;
        bytes = size != NULL ? *size : 0;
    }
    g_task_return_pointer(task, ui_document_item_new(document, bytes), g_object_unref);
}

static void fetch_next(UiDocumentModel *self);

static void on_fetched(GObject *source, GAsyncResult *task, gpointer user)
{
    UiDocumentModel *self = UI_DOCUMENT_MODEL(source);
    Fetch *fetch = g_task_get_task_data(G_TASK(task));
    g_autoptr(UiDocumentItem) fresh = g_task_propagate_pointer(G_TASK(task), NULL);
    UiDocumentItem *kept = ui_document_model_find(self, fetch->document);
    self->is_fetching = false;
    bool moves = true;
    if (fresh != NULL && kept != NULL) {
        const AppDocument *before = ui_document_item_get_document(kept), *now = ui_document_item_get_document(fresh);
        moves = !passes_filter(self->query.filter, now->state) || self->query.order == UI_ORDER_CHANGED || !g_str_equal(before->title, now->title) ||
                (before->state == APP_DOCUMENT_NEW && before->n_chars != now->n_chars);
        ui_document_item_swap(kept, fresh);
    }
    if (moves) reload(self);
    fetch_next(self);
}

static void fetch_next(UiDocumentModel *self)
{
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, self->touched);
    if (self->is_fetching || self->context == NULL || !g_hash_table_iter_next(&iter, &key, NULL)) return;
    Fetch *fetch = g_new0(Fetch, 1);
    fetch->context = g_object_ref(self->context);
    fetch->document = *(gint64 *)key;
    g_hash_table_iter_remove(&iter);
    self->is_fetching = true;
    ui_context_run(self->context, G_OBJECT(self), run_fetch, fetch, free_fetch, NULL, on_fetched, NULL);
}

static void on_library_changed(UiDocumentModel *self, gint64 document)
{
    if (self->is_inactive) return;
    if (document == 0) {
        reload(self);
        return;
    }
    g_hash_table_add(self->touched, g_memdup2(&document, sizeof document));
    fetch_next(self);
}

static void on_document_hidden(UiDocumentModel *self, gint64 document, gboolean is_hidden)
{
    UiDocumentItem *item = ui_document_model_find(self, document);
    guint position = 0;
    shrink_gap(self, G_MAXUINT);
    g_clear_pointer(&self->waiting, free_result);
    self->query.n_hidings++;
    if (is_hidden && item != NULL && g_ptr_array_find(self->items, item, &position)) {
        g_hash_table_remove(self->by_id, &document);
        g_ptr_array_remove_index(self->items, position);
        self->n_documents -= self->n_documents > 0;
        self->n_library -= self->n_library > 0;
        g_list_model_items_changed(G_LIST_MODEL(self), position, 1, 0);
        g_signal_emit(self, signal_loaded, 0);
    }
    reload(self);
}

static void on_read_event(UiDocumentModel *self, const AppReadEvent *event)
{
    UiDocumentItem *item = event->document != 0 ? ui_document_model_find(self, event->document) : NULL;
    if (item != NULL && event->kind == APP_READ_PROGRESS) ui_document_item_set_progress(item, event->progress);
    if (item != NULL && event->kind == APP_READ_FAILED) ui_document_item_set_failure(item, event->message);
}

/* ----------------------------------------------------------------------------------------------------- plans */

typedef struct Planning {
    AppEngine *engine;
    int64_t document;
    AppReadPlan plan;
} Planning;

static void free_planning(gpointer data)
{
    app_engine_unref(((Planning *)data)->engine);
    g_free(data);
}

static void run_planning(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Planning *planning = data;
    UiDocumentModel *self = UI_DOCUMENT_MODEL(source);
    bool ok = app_reader_plan(planning->engine, planning->document, 0, &self->cancel_plan, &planning->plan, NULL);
    g_task_return_boolean(task, ok);
}

static void plan_next(UiDocumentModel *self);

static void on_planned(GObject *source, GAsyncResult *task, gpointer user)
{
    UiDocumentModel *self = UI_DOCUMENT_MODEL(source);
    Planning *planning = g_task_get_task_data(G_TASK(task));
    UiDocumentItem *item = ui_document_model_find(self, planning->document);
    if (g_task_propagate_boolean(G_TASK(task), NULL) && item != NULL) ui_document_item_set_plan(item, &planning->plan);
    self->is_planning = false;
    plan_next(self);
}

static void plan_next(UiDocumentModel *self)
{
    AppEngine *engine = self->context != NULL ? ui_context_get_engine(self->context) : NULL;
    while (!self->is_planning && engine != NULL && self->plans.length > 0) {
        g_autofree gint64 *document = g_queue_pop_head(&self->plans);
        UiDocumentItem *item = ui_document_model_find(self, *document);
        AppDocumentState state = item != NULL ? ui_document_item_get_document(item)->state : APP_DOCUMENT_READY;
        if (!ui_document_item_is_ahead(state)) continue;
        Planning *planning = g_new0(Planning, 1);
        planning->engine = app_engine_ref(engine);
        planning->document = *document;
        self->is_planning = true;
        ui_context_run(self->context, G_OBJECT(self), run_planning, planning, free_planning, NULL, on_planned, NULL);
    }
}

void ui_document_model_want_plan(UiDocumentModel *self, UiDocumentItem *item)
{
    AppDocumentState state = ui_document_item_get_document(item)->state;
    if (ui_document_item_get_plan(item) != NULL || !ui_document_item_is_ahead(state)) return;
    gint64 id = ui_document_item_get_id(item);
    for (GList *at = self->plans.head; at != NULL; at = at->next) {
        if (*(gint64 *)at->data == id) return;
    }
    g_queue_push_tail(&self->plans, g_memdup2(&id, sizeof id));
    plan_next(self);
}

/* ----------------------------------------------------------------------------------------------------- public */

UiDocumentModel *ui_document_model_new(UiContext *context)
{
    UiDocumentModel *self = g_object_new(UI_TYPE_DOCUMENT_MODEL, NULL);
    self->context = g_object_ref(context);
    g_signal_connect_object(context, "library-changed", G_CALLBACK(on_library_changed), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(context, "document-hidden", G_CALLBACK(on_document_hidden), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(context, "read-event", G_CALLBACK(on_read_event), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(context, "engine-changed", G_CALLBACK(plan_next), self, G_CONNECT_SWAPPED);
    self->reload_source = g_idle_add_full(G_PRIORITY_HIGH_IDLE, reload_later, self, NULL); /* after the first settings */
    return self;
}

void ui_document_model_set_collection(UiDocumentModel *self, int64_t collection)
{
    self->query.collection = collection;
    reload(self);
}

void ui_document_model_set_order(UiDocumentModel *self, UiDocumentOrder order)
{
    self->query.order = order;
    reload(self);
}

void ui_document_model_set_filter(UiDocumentModel *self, UiDocumentFilter filter)
{
    self->query.filter = filter;
    reload(self);
}

void ui_document_model_set_words(UiDocumentModel *self, const char *words)
{
    if (g_str_equal(words, self->query.words)) return;
    g_free(self->query.words);
    self->query.words = g_strdup(words);
    reload(self);
}

void ui_document_model_set_active(UiDocumentModel *self, bool active)
{
    if (self->is_inactive == !active) return;
    self->is_inactive = !active;
    if (active) reload(self);
}

UiDocumentItem *ui_document_model_find(UiDocumentModel *self, int64_t document)
{
    gint64 id = document;
    return g_hash_table_lookup(self->by_id, &id);
}

bool ui_document_model_is_loaded(UiDocumentModel *self) { return self->is_loaded; }
uint32_t ui_document_model_get_n_documents(UiDocumentModel *self) { return self->n_documents; }
uint32_t ui_document_model_get_n_library(UiDocumentModel *self) { return self->n_library; }

static void ui_document_model_dispose(GObject *object)
{
    UiDocumentModel *self = UI_DOCUMENT_MODEL(object);
    __atomic_store_n(&self->cancel_plan, true, __ATOMIC_RELAXED);
    g_clear_handle_id(&self->reload_source, g_source_remove);
    g_clear_handle_id(&self->gap_source, g_source_remove);
    g_clear_pointer(&self->waiting, free_result);
    g_queue_clear_full(&self->plans, g_free);
    g_clear_object(&self->context);
    G_OBJECT_CLASS(ui_document_model_parent_class)->dispose(object);
}

static void ui_document_model_finalize(GObject *object)
{
    UiDocumentModel *self = UI_DOCUMENT_MODEL(object);
    g_hash_table_unref(self->by_id);
    g_hash_table_unref(self->touched);
    g_ptr_array_unref(self->items);
    g_free(self->query.words);
    G_OBJECT_CLASS(ui_document_model_parent_class)->finalize(object);
}

static void ui_document_model_class_init(UiDocumentModelClass *class)
{
    G_OBJECT_CLASS(class)->dispose = ui_document_model_dispose;
    G_OBJECT_CLASS(class)->finalize = ui_document_model_finalize;
    signal_loaded = g_signal_new("loaded", G_TYPE_FROM_CLASS(class), G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void ui_document_model_init(UiDocumentModel *self)
{
    self->items = g_ptr_array_new_with_free_func(g_object_unref);
    self->by_id = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    self->touched = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    self->query.words = g_strdup("");
    g_queue_init(&self->plans);
}
