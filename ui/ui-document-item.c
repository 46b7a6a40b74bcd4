/* ui-document-item.c: see ui-document-item.h. */
#define G_LOG_DOMAIN "ui-document-item"
#include "ui-document-item.h"

#include <glib/gi18n.h>
#include <jansson.h>
#include <math.h>

#include "app-format.h"
#include "ui-format.h"

struct _UiDocumentItem {
    GObject parent;
    AppDocument *document;
    char *byline;
    uint64_t cache_bytes;
    AppReadProgress progress;
    AppReadPlan plan;
    bool has_progress, has_plan;
};

static guint signal_changed;

G_DEFINE_FINAL_TYPE(UiDocumentItem, ui_document_item, G_TYPE_OBJECT)

static void join(GString *text, const char *more)
{
    if (more == NULL || *more == '\0') return;
    if (text->len > 0) g_string_append(text, " · ");
    g_string_append(text, more);
}

/* The author; of a report its company, form and period, which tell it from its sisters. */
static char *make_byline(const AppDocument *document)
{
    GString *text = g_string_new(NULL);
    json_t *metadata = json_loads(document->metadata, 0, NULL);
    const char *company = json_string_value(json_object_get(metadata, "company"));
    join(text, company != NULL ? company : document->author);
    join(text, json_string_value(json_object_get(metadata, "form")));
    join(text, json_string_value(json_object_get(metadata, "period")));
    json_decref(metadata);
    return g_string_free(text, FALSE);
}

UiDocumentItem *ui_document_item_new(AppDocument *document, uint64_t cache_bytes)
{
    UiDocumentItem *self = g_object_new(UI_TYPE_DOCUMENT_ITEM, NULL);
    self->document = document;
    self->byline = make_byline(document);
    self->cache_bytes = cache_bytes;
    return self;
}

void ui_document_item_swap(UiDocumentItem *self, UiDocumentItem *from)
{
    AppDocument *document = self->document;
    char *byline = self->byline;
    self->document = from->document;
    self->byline = from->byline;
    if (from->cache_bytes != UINT64_MAX) self->cache_bytes = from->cache_bytes;
    from->document = document;
    from->byline = byline;
    AppDocumentState state = self->document->state;
    if (state != APP_DOCUMENT_READING) self->has_progress = false;
    if (state != document->state) self->has_plan = self->has_plan && ui_document_item_is_ahead(state);
    g_signal_emit(self, signal_changed, 0);
}

const AppDocument *ui_document_item_get_document(UiDocumentItem *self) { return self->document; }
int64_t ui_document_item_get_id(UiDocumentItem *self) { return self->document->id; }
const char *ui_document_item_get_title(UiDocumentItem *self) { return self->document->title; }
const char *ui_document_item_get_byline(UiDocumentItem *self) { return self->byline; }
uint64_t ui_document_item_get_cache_bytes(UiDocumentItem *self) { return self->cache_bytes; }
const AppReadProgress *ui_document_item_get_progress(UiDocumentItem *self) { return self->has_progress ? &self->progress : NULL; }
const AppReadPlan *ui_document_item_get_plan(UiDocumentItem *self) { return self->has_plan ? &self->plan : NULL; }

bool ui_document_item_is_ahead(AppDocumentState state)
{
    return state == APP_DOCUMENT_NEW || state == APP_DOCUMENT_QUEUED || state == APP_DOCUMENT_READING;
}

void ui_document_item_set_progress(UiDocumentItem *self, const AppReadProgress *progress)
{
    self->has_progress = progress != NULL;
    if (progress != NULL) self->progress = *progress;
    g_signal_emit(self, signal_changed, 0);
}

void ui_document_item_set_failure(UiDocumentItem *self, const char *message)
{
    self->document->state = APP_DOCUMENT_FAILED;
    g_free(self->document->note);
    self->document->note = g_strdup(message);
    self->has_progress = false;
    g_signal_emit(self, signal_changed, 0);
}

void ui_document_item_set_plan(UiDocumentItem *self, const AppReadPlan *plan)
{
    self->has_plan = plan != NULL;
    if (plan != NULL) self->plan = *plan;
    g_signal_emit(self, signal_changed, 0);
}

/* Tokens, and what they take on the disk. */
static void join_size(UiDocumentItem *self, GString *text)
{
    uint64_t n_tokens = self->document->n_tokens > 0 ? self->document->n_tokens : self->has_plan ? self->plan.n_tokens : 0;
    if (n_tokens > 0) {
        g_autofree char *tokens = ui_format_tokens(n_tokens);
        join(text, tokens);
    }
    if (self->cache_bytes > 0 && self->cache_bytes != UINT64_MAX) {
        g_autofree char *bytes = ui_format_bytes(self->cache_bytes);
        join(text, bytes);
    }
}

static char *ready_state(UiDocumentItem *self)
{
    GString *text = g_string_new(_("Ready"));
    join_size(self, text);
    return g_string_free(text, FALSE);
}

char *ui_document_item_dup_caption(UiDocumentItem *self)
{
    const AppDocument *document = self->document;
    GString *text = g_string_new(NULL);
    join(text, self->byline);
    if (document->n_pages > 0) {
        g_autofree char *pages = ui_format_pages(document->n_pages);
        join(text, pages);
    }
    if (document->state == APP_DOCUMENT_READY) return g_string_free(text, FALSE); /* its state says the rest */
    join_size(self, text);
    if (text->len == 0) {
        g_autofree char *bytes = ui_format_bytes(document->n_source_bytes);
        join(text, bytes);
    }
    return g_string_free(text, FALSE);
}

double ui_document_item_get_fraction(UiDocumentItem *self)
{
    double known = self->document->n_tokens > 0 ? (double)self->document->n_tokens_read / (double)self->document->n_tokens : 0;
    if (!self->has_progress || self->progress.tokens_total == 0) return known;
    /* Reading that goes on counts first what was read before: that is known already, and no one wants to see it fall back. */
    return MAX((double)self->progress.tokens_done / (double)self->progress.tokens_total, known);
}

static char *reading_state(UiDocumentItem *self)
{
    unsigned percent = (unsigned)(100 * ui_document_item_get_fraction(self));
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, _("Reading, %u%%"), percent);
    double seconds_left = self->has_progress ? self->progress.seconds_left : -1;
    if (seconds_left < 0 && self->has_plan && self->plan.seconds > 0) seconds_left = self->plan.seconds; /* the first sections are not read yet */
    if (seconds_left >= 0) {
        g_autofree char *left = ui_format_duration(seconds_left);
        g_autofree char *time = g_strdup_printf(_("%s left"), left);
        join(text, time);
    }
    if (self->has_progress && self->progress.tokens_per_s > 0) {
        g_autofree char *count = ui_format_count((uint64_t)self->progress.tokens_per_s);
        g_autofree char *rate = g_strdup_printf(_("%s tokens a second"), count);
        join(text, rate);
    }
    return g_string_free(text, FALSE);
}

/* What is ahead of a document that waits: the time it takes and the room it needs. */
static char *planned_state(UiDocumentItem *self, const char *state)
{
    GString *text = g_string_new(state);
    if (self->has_plan && self->plan.seconds > 0) {
        g_autofree char *duration = ui_format_duration(self->plan.seconds);
        g_autofree char *time = g_strdup_printf(_("about %s to read"), duration);
        join(text, time);
    }
    if (self->has_plan && self->plan.n_disk_bytes > 0) {
        g_autofree char *bytes = ui_format_bytes(self->plan.n_disk_bytes);
        g_autofree char *room = g_strdup_printf(_("%s on the disk"), bytes);
        join(text, room);
    }
    return g_string_free(text, FALSE);
}

const char *ui_document_item_get_format(UiDocumentItem *self)
{
    static const char *const texts[][2] = {{"text", "TXT"}, {"markdown", "MD"}, {"pdf", "PDF"}, {"epub", "EPUB"}, {"html", "HTML"},
                                           {"docx", "DOCX"}, {"odt", "ODT"}, {"rtf", "RTF"}};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        if (g_str_equal(texts[i][0], self->document->format)) return texts[i][1];
    }
    return "DOC";
}

char *ui_document_item_dup_state(UiDocumentItem *self)
{
    switch (self->document->state) {
    case APP_DOCUMENT_QUEUED: return planned_state(self, _("Waiting"));
    case APP_DOCUMENT_READING: return reading_state(self);
    case APP_DOCUMENT_PAUSED: return g_strdup_printf(_("Paused at %u%%"), (unsigned)(100 * ui_document_item_get_fraction(self)));
    case APP_DOCUMENT_READY: return ready_state(self);
    case APP_DOCUMENT_FAILED: return g_strdup(_("Could not be read"));
    case APP_DOCUMENT_NO_TEXT: return g_strdup(_("No text in it"));
    case APP_DOCUMENT_NEW: break;
    }
    return planned_state(self, _("Not read yet"));
}

const char *ui_document_item_get_state_icon(UiDocumentItem *self)
{
    switch (self->document->state) {
    case APP_DOCUMENT_QUEUED: return "lectern-waiting-symbolic";
    case APP_DOCUMENT_READING: return "lectern-reading-symbolic";
    case APP_DOCUMENT_PAUSED: return "media-playback-pause-symbolic";
    case APP_DOCUMENT_READY: return "emblem-ok-symbolic";
    case APP_DOCUMENT_FAILED: return "dialog-warning-symbolic";
    case APP_DOCUMENT_NO_TEXT: return "lectern-no-text-symbolic";
    case APP_DOCUMENT_NEW: break;
    }
    return "lectern-unread-symbolic";
}

bool ui_document_item_may_be_scan(UiDocumentItem *self)
{
    return self->document->state == APP_DOCUMENT_NO_TEXT && g_str_equal(self->document->format, "pdf");
}

char *ui_document_item_dup_advice(UiDocumentItem *self)
{
    const AppDocument *document = self->document;
    if (document->state == APP_DOCUMENT_NO_TEXT) {
        if (ui_document_item_may_be_scan(self)) return g_strdup(_("Its pages are pictures, or empty. Text recognition (OCR) reads pictures of text."));
        bool is_plain = g_str_equal(document->format, "text") || g_str_equal(document->format, "markdown"); /* these hold no pictures */
        return g_strdup(is_plain ? _("There is nothing to be read in it.")
                                 : _("There is nothing to be read in it. Pictures of pages need text recognition (OCR) first."));
    }
    g_autofree char *note = app_format_note(document->note);
    if (document->state == APP_DOCUMENT_FAILED) {
        return g_strdup_printf(_("%s\nTry again; if it fails again, look whether the file opens in another application."), note);
    }
    bool says_why = document->state == APP_DOCUMENT_PAUSED && *note != '\0' && !g_str_equal(document->note, "by hand");
    return says_why ? g_steal_pointer(&note) : NULL;
}

static void ui_document_item_finalize(GObject *object)
{
    UiDocumentItem *self = UI_DOCUMENT_ITEM(object);
    app_document_free(self->document);
    g_free(self->byline);
    G_OBJECT_CLASS(ui_document_item_parent_class)->finalize(object);
}

static void ui_document_item_class_init(UiDocumentItemClass *class)
{
    G_OBJECT_CLASS(class)->finalize = ui_document_item_finalize;
    signal_changed = g_signal_new("changed", G_TYPE_FROM_CLASS(class), G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void ui_document_item_init(UiDocumentItem *self)
{
}
