/* ui-pdf-tiles.c: see ui-pdf-tiles.h. */
#define G_LOG_DOMAIN "ui-pdf-tiles"
#include "ui-pdf-tiles.h"

#include <string.h>

enum { KEPT_BYTES = 64 << 20 };

typedef struct Shared { /* what a thread may use after the tiles are gone */
    gatomicrefcount n_refs;
    AppRenderer *renderer;
    bool cancel;
} Shared;

struct _UiPdfTiles {
    GObject parent;
    UiContext *context;
    Shared *shared;
    GArray *tiles;  /* UiPdfTile */
    GArray *wanted; /* AppRenderPart */
    GHashTable *problems; /* page -> char* */
    guint64 used;
    char *first_problem; /* while nothing has been drawn */
    bool is_working;
};

enum { SIGNAL_CHANGED, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE(UiPdfTiles, ui_pdf_tiles, G_TYPE_OBJECT)

/* Waits for the end of the process that draws, which is not for the main loop. */
static gpointer end_renderer(gpointer renderer)
{
    app_renderer_free(renderer);
    return NULL;
}

static void unref_shared(gpointer data)
{
    Shared *shared = data;
    if (!g_atomic_ref_count_dec(&shared->n_refs)) return;
    g_thread_unref(g_thread_new("renderer-end", end_renderer, shared->renderer));
    g_free(shared);
}

static void clear_tile(gpointer data)
{
    g_clear_pointer(&((UiPdfTile *)data)->strips, g_ptr_array_unref);
}

static bool is_same(const AppRenderPart *a, const AppRenderPart *b)
{
    return memcmp(a, b, sizeof *a) == 0; /* eight numbers without gaps */
}

/* ------------------------------------------------------------------------------------------------------------- drawing */

typedef struct Job {
    Shared *shared;
    AppRenderPart part;
} Job;

static void free_job(gpointer data)
{
    unref_shared(((Job *)data)->shared);
    g_free(data);
}

static void render(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Job *job = data;
    GError *error = NULL;
    GBytes *pixels = app_renderer_render(job->shared->renderer, &job->part, &job->shared->cancel, &error);
    if (pixels != NULL) g_task_return_pointer(task, pixels, (GDestroyNotify)g_bytes_unref);
    else g_task_return_error(task, error);
}

static bool is_wanted(const UiPdfTiles *self, const AppRenderPart *part)
{
    for (guint i = 0; i < self->wanted->len; i++) {
        if (is_same(&g_array_index(self->wanted, AppRenderPart, i), part)) return true;
    }
    return false;
}

static void drop_old(UiPdfTiles *self)
{
    size_t n_bytes = 0;
    for (guint i = 0; i < self->tiles->len; i++) {
        const AppRenderPart *part = &g_array_index(self->tiles, UiPdfTile, i).part;
        n_bytes += (size_t)part->width * part->height * 4;
    }
    while (n_bytes > KEPT_BYTES) {
        guint oldest = G_MAXUINT;
        for (guint i = 0; i < self->tiles->len; i++) {
            const UiPdfTile *tile = &g_array_index(self->tiles, UiPdfTile, i);
            bool is_older = oldest == G_MAXUINT || tile->used < g_array_index(self->tiles, UiPdfTile, oldest).used;
            if (is_older && !is_wanted(self, &tile->part)) oldest = i;
        }
        if (oldest == G_MAXUINT) return;
        const AppRenderPart *part = &g_array_index(self->tiles, UiPdfTile, oldest).part;
        n_bytes -= (size_t)part->width * part->height * 4;
        g_array_remove_index_fast(self->tiles, oldest);
    }
}

/* The strips share the pixels. */
static GPtrArray *make_strips(GBytes *pixels, const AppRenderPart *part)
{
    GPtrArray *strips = g_ptr_array_new_with_free_func(g_object_unref);
    gsize stride = (gsize)part->width * 4;
    for (uint32_t y = 0; y < part->height; y += UI_PDF_STRIP_ROWS) {
        uint32_t n_rows = MIN(UI_PDF_STRIP_ROWS, part->height - y);
        g_autoptr(GBytes) rows = g_bytes_new_from_bytes(pixels, y * stride, n_rows * stride);
        g_ptr_array_add(strips, gdk_memory_texture_new((int)part->width, (int)n_rows, GDK_MEMORY_B8G8R8A8_PREMULTIPLIED, rows, stride));
    }
    return strips;
}

static void work(UiPdfTiles *self);

static void on_rendered(GObject *source, GAsyncResult *result, gpointer user)
{
    UiPdfTiles *self = UI_PDF_TILES(source);
    Job *job = g_task_get_task_data(G_TASK(result));
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) pixels = g_task_propagate_pointer(G_TASK(result), &error);
    self->is_working = false;
    if (self->context == NULL || g_error_matches(error, APP_RENDER_ERROR, APP_RENDER_ERROR_CANCELLED)) return;
    if (pixels != NULL) {
        UiPdfTile tile = {.part = job->part, .used = ++self->used, .strips = make_strips(pixels, &job->part)};
        g_array_append_val(self->tiles, tile);
        g_clear_pointer(&self->first_problem, g_free);
        drop_old(self);
    } else {
        if (self->used == 0 && self->first_problem == NULL) self->first_problem = g_strdup(error->message);
        g_hash_table_insert(self->problems, GUINT_TO_POINTER(job->part.page), g_strdup(error->message));
    }
    g_signal_emit(self, signals[SIGNAL_CHANGED], 0);
    work(self);
}

static void work(UiPdfTiles *self)
{
    if (self->is_working) return;
    for (guint i = 0; i < self->wanted->len; i++) {
        const AppRenderPart *part = &g_array_index(self->wanted, AppRenderPart, i);
        if (ui_pdf_tiles_get(self, part) != NULL || ui_pdf_tiles_get_problem(self, part->page) != NULL) continue;
        Job *job = g_new(Job, 1);
        *job = (Job){self->shared, *part};
        g_atomic_ref_count_inc(&self->shared->n_refs);
        self->is_working = true;
        ui_context_run(self->context, G_OBJECT(self), render, job, free_job, NULL, on_rendered, NULL);
        return;
    }
}

/* ---------------------------------------------------------------------------------------------------------------- tiles */

UiPdfTiles *ui_pdf_tiles_new(UiContext *context, AppRenderer *renderer)
{
    UiPdfTiles *self = g_object_new(UI_TYPE_PDF_TILES, NULL);
    self->context = g_object_ref(context);
    self->shared = g_new0(Shared, 1);
    g_atomic_ref_count_init(&self->shared->n_refs);
    self->shared->renderer = renderer;
    return self;
}

void ui_pdf_tiles_want(UiPdfTiles *self, const GArray *parts)
{
    g_array_set_size(self->wanted, 0);
    g_array_append_vals(self->wanted, parts->data, parts->len);
    work(self);
}

const UiPdfTile *ui_pdf_tiles_get(UiPdfTiles *self, const AppRenderPart *part)
{
    for (guint i = 0; i < self->tiles->len; i++) {
        UiPdfTile *tile = &g_array_index(self->tiles, UiPdfTile, i);
        if (!is_same(&tile->part, part)) continue;
        tile->used = ++self->used;
        return tile;
    }
    return NULL;
}

const GArray *ui_pdf_tiles_list(UiPdfTiles *self)
{
    return self->tiles;
}

const char *ui_pdf_tiles_get_first_problem(UiPdfTiles *self)
{
    return self->first_problem;
}

const char *ui_pdf_tiles_get_problem(UiPdfTiles *self, uint32_t page)
{
    return g_hash_table_lookup(self->problems, GUINT_TO_POINTER(page));
}

static void ui_pdf_tiles_dispose(GObject *object)
{
    UiPdfTiles *self = UI_PDF_TILES(object);
    if (self->shared != NULL) __atomic_store_n(&self->shared->cancel, true, __ATOMIC_RELAXED);
    g_clear_pointer(&self->shared, unref_shared);
    g_clear_object(&self->context);
    G_OBJECT_CLASS(ui_pdf_tiles_parent_class)->dispose(object);
}

static void ui_pdf_tiles_finalize(GObject *object)
{
    UiPdfTiles *self = UI_PDF_TILES(object);
    g_array_unref(self->tiles);
    g_array_unref(self->wanted);
    g_hash_table_unref(self->problems);
    g_free(self->first_problem);
    G_OBJECT_CLASS(ui_pdf_tiles_parent_class)->finalize(object);
}

static void ui_pdf_tiles_class_init(UiPdfTilesClass *class)
{
    G_OBJECT_CLASS(class)->dispose = ui_pdf_tiles_dispose;
    G_OBJECT_CLASS(class)->finalize = ui_pdf_tiles_finalize;
    signals[SIGNAL_CHANGED] = g_signal_new("changed", UI_TYPE_PDF_TILES, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void ui_pdf_tiles_init(UiPdfTiles *self)
{
    self->tiles = g_array_new(FALSE, FALSE, sizeof(UiPdfTile));
    g_array_set_clear_func(self->tiles, clear_tile);
    self->wanted = g_array_new(FALSE, FALSE, sizeof(AppRenderPart));
    self->problems = g_hash_table_new_full(NULL, NULL, NULL, g_free);
}
