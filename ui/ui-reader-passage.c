/* ui-reader-passage.c: the cited passage, marked on text and page, and the strip of where the model looked. */
#define G_LOG_DOMAIN "ui-reader"
#include "ui-reader-internal.h"

static const double PASSAGE_ALIGN = 0.3; /* where a passage comes to stand: with what leads up to it */

/* ------------------------------------------------------------------------------------------------------------- passage */

static void locate(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    UiReaderJob *job = data;
    GError *error = NULL;
    AppPlace *place = app_library_locate(job->library, job->id, job->start, job->end, &error);
    if (place != NULL) g_task_return_pointer(task, place, (GDestroyNotify)app_place_free);
    else g_task_return_error(task, error);
}

/* The boxes' page and height, or of a page without boxes its top. */
static void show_on_pages(UiReader *self, const AppPlace *place)
{
    ui_pdf_pages_set_passage(self->pdf_pages, place->boxes, place->n_boxes, true);
    uint32_t page = place->n_boxes > 0 ? place->boxes[0].page : place->page_first;
    if (page >= self->document->pages->len) return;
    const AppPage *about = g_ptr_array_index(self->document->pages, page);
    double y = place->n_boxes > 0 && about->height > 0 ? (double)(place->boxes[0].y0 / about->height) : 0;
    ui_pdf_pages_scroll_to(self->pdf_pages, page, y, PASSAGE_ALIGN);
}

static void on_located(GObject *source, GAsyncResult *result, gpointer user)
{
    UiReader *self = UI_READER(source);
    g_autoptr(GError) error = NULL;
    g_autoptr(AppPlace) place = g_task_propagate_pointer(G_TASK(result), &error);
    UiReaderJob *job = ui_reader_get_job(self, result);
    if (job == NULL || !self->has_passage || self->passage.start != job->start || self->passage.end != job->end) return;
    if (place == NULL) g_debug("the passage cannot be located: %s", error->message);
    else if (self->has_pages) show_on_pages(self, place);
}

void ui_reader_apply_passage(UiReader *self)
{
    self->is_passage_wanted = false;
    self->has_passage = true;
    self->passage.end = MIN(self->passage.end, (uint64_t)self->document->n_bytes);
    self->passage.start = MIN(self->passage.start, self->passage.end);
    ui_text_page_set_passage(self->text_page, &self->passage, true);
    ui_text_page_scroll_to(self->text_page, self->passage.start, PASSAGE_ALIGN);
    ui_strip_set_passage(self->strip, &self->passage);
    UiReaderJob *job = ui_reader_job_new(self);
    job->start = self->passage.start;
    job->end = self->passage.end;
    ui_reader_run(self, job, locate, on_located);
}

bool ui_reader_clear_passage(UiReader *self)
{
    if (!self->has_passage && !self->is_passage_wanted) return false;
    self->has_passage = self->is_passage_wanted = false;
    ui_text_page_set_passage(self->text_page, NULL, false);
    ui_pdf_pages_set_passage(self->pdf_pages, NULL, 0, false);
    ui_strip_set_passage(self->strip, NULL);
    return true;
}

void ui_reader_show_passage(UiReader *self, int64_t document, uint64_t start, uint64_t end)
{
    ui_reader_open(self, document);
    self->passage = (UiRange){start, MAX(start, end)};
    self->is_passage_wanted = true;
    if (self->document != NULL) ui_reader_apply_passage(self);
}

/* --------------------------------------------------------------------------------------------------------------- strip */

void ui_reader_apply_looks(UiReader *self)
{
    g_autoptr(GArray) looks = g_array_new(FALSE, FALSE, sizeof(UiLook));
    for (guint i = 0; self->document != NULL && i < self->looks->len; i++) {
        const UiReaderLook *look = &g_array_index(self->looks, UiReaderLook, i);
        if (look->document == self->id) g_array_append_val(looks, look->look);
    }
    ui_strip_set_looks(self->strip, looks, self->document != NULL ? self->document->n_bytes : 0);
}

/* Parts are counted in tokens; the text between a section's ends is taken to be spread evenly over them. */
void ui_reader_set_attended(UiReader *self, const AppAttended *attended, size_t n_attended)
{
    g_array_set_size(self->looks, 0);
    for (size_t i = 0; i < n_attended; i++) {
        const AppAttended *section = &attended[i];
        double n_bytes = (double)(section->end - section->start);
        for (uint32_t part = 0; part < section->n_parts; part++) {
            double from = (double)section->start + n_bytes * part / section->n_parts;
            UiReaderLook look = {section->document, {from, from + n_bytes / section->n_parts, section->part_masses[part]}};
            g_array_append_val(self->looks, look);
        }
    }
    ui_reader_apply_looks(self);
}
