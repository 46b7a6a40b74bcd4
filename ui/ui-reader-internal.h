/* ui-reader-internal.h: the reader's parts, for its own files.
 *
 * ui-reader.c: loading, states, views, the position. ui-reader-go.c: pages, chapters, zoom, the bar below. ui-reader-find.c: finding.
 * ui-reader-passage.c: the passage and the strip.
 */
#ifndef UI_READER_INTERNAL_H
#define UI_READER_INTERNAL_H

#include "ui-contents.h"
#include "ui-document.h"
#include "ui-pdf-pages.h"
#include "ui-reader.h"
#include "ui-strip.h"
#include "ui-text-page.h"

G_BEGIN_DECLS

typedef struct UiReaderJob { /* work on a thread for the reader; ignored when the reader went on (number) */
    AppLibrary *library;
    UiDocument *document;
    int64_t id;
    uint64_t start, end;
    guint64 number;
    char *words;
    GArray *ranges, *numbers; /* to locate */
    bool cancel;
    AppReadingPosition position;
} UiReaderJob;

struct _UiReader {
    AdwBin parent;
    GtkStack *stack; /* empty, loading, text, pages, message */
    AdwStatusPage *message;
    GtkRevealer *notice;
    GtkLabel *notice_label;
    UiTextPage *text_page;
    UiPdfPages *pdf_pages;
    GtkWidget *strip_box;
    UiStrip *strip;
    GtkSearchBar *search_bar;
    GtkSearchEntry *search_entry;
    GtkLabel *match_label;
    GtkWidget *toolbar, *page_box, *view_button, *zoom_popover;
    GtkMenuButton *contents_button;
    GtkPopover *contents_popover;
    UiContents *contents;
    GtkLabel *chapter_label, *page_count, *zoom_label;
    GtkEntry *page_entry;

    UiContext *context;
    int64_t id;           /* of the document that is wanted */
    UiDocument *document; /* that is shown; NULL: none, or loading */
    UiReaderJob *load;    /* in progress */
    UiReaderJob *seeking; /* in progress: the place that the pages are to show next */
    guint64 number;       /* counts documents: jobs of earlier ones are ignored */
    AppReadingView view;
    bool has_pages;       /* the pages can be shown */
    double text_zoom;
    guint save_source, loading_source;
    bool has_hint; /* where the last jump on the pages led, exactly, while hint_value stands */
    uint64_t hint_byte;
    double hint_value;

    bool has_passage, is_passage_wanted; /* wanted: shown when the document is there */
    UiRange passage;
    GArray *looks; /* UiReaderLook */

    GArray *matches; /* UiRange; NULL: nothing was looked for */
    int current_match;
    UiReaderJob *find;
    guint64 find_number;
    bool is_locating_matches, is_match_wanted; /* scroll to the nearest when found */
};

typedef struct UiReaderLook {
    int64_t document;
    UiLook look;
} UiReaderLook;

UiReaderJob *ui_reader_job_new(UiReader *reader);
/* Runs work on a thread, then done(reader, result, NULL); takes the job. */
void ui_reader_run(UiReader *reader, UiReaderJob *job, GTaskThreadFunc work, GAsyncReadyCallback done);
/* The job of a finished task, unless the reader is gone or shows another document. */
UiReaderJob *ui_reader_get_job(UiReader *reader, GAsyncResult *result);

/* ui-reader.c */
AppReadingPosition ui_reader_get_place(UiReader *reader); /* what is at the top of the view */
void ui_reader_set_view(UiReader *reader, AppReadingView view);
void ui_reader_moved(UiReader *reader);

/* ui-reader-go.c */
void ui_reader_install_actions(GtkWidgetClass *class);
void ui_reader_go_to_byte(UiReader *reader, uint64_t byte, double align); /* in either view */
void ui_reader_update_bar(UiReader *reader);
void ui_reader_on_page_entry_activate(UiReader *reader);
void ui_reader_on_chosen(UiReader *reader, guint64 place, gboolean is_page);
void ui_reader_on_contents_shown(UiReader *reader);
char *ui_reader_name_place(gpointer reader, uint64_t byte);

/* ui-reader-find.c */
void ui_reader_install_find(GtkWidgetClass *class);
void ui_reader_clear_find(UiReader *reader);
void ui_reader_locate_matches(UiReader *reader); /* on the pages in sight */
void ui_reader_on_search_changed(UiReader *reader);
void ui_reader_on_search_mode(UiReader *reader);
void ui_reader_find_next(UiReader *reader);
void ui_reader_find_previous(UiReader *reader);

/* ui-reader-passage.c */
void ui_reader_apply_passage(UiReader *reader);
void ui_reader_apply_looks(UiReader *reader);

G_END_DECLS

#endif
