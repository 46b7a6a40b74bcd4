/* ui-pdf-pages.h: the pages of a PDF, one below the other, crisp at any zoom.
 *
 * Owns: where pages stand, scrolling (a GtkScrollable), zoom, drawing pages and marks on them. Does not own: pixels (ui-pdf-tiles.h), which
 *       passage. Dispose of the document (set NULL) to cancel what is being drawn.
 *
 * Signals: "moved": what is in sight has changed. "zoomed": by the wheel or fingers. "failed" (const char *why): the first page that was
 * wanted cannot be drawn; the others may be.
 */
#ifndef UI_PDF_PAGES_H
#define UI_PDF_PAGES_H

#include <gtk/gtk.h>

#include "app-library.h"
#include "ui-context.h"

G_BEGIN_DECLS

#define UI_TYPE_PDF_PAGES (ui_pdf_pages_get_type())
G_DECLARE_FINAL_TYPE(UiPdfPages, ui_pdf_pages, UI, PDF_PAGES, GtkWidget)

/* pages: AppPage*; the file is taken. pages NULL: nothing. */
void ui_pdf_pages_set_document(UiPdfPages *view, UiContext *context, GPtrArray *pages, int fd, const char *name);
void ui_pdf_pages_set_zoom(UiPdfPages *view, double zoom); /* 1: natural size; 0: as wide as the window */
double ui_pdf_pages_get_zoom(UiPdfPages *view);            /* as set */
double ui_pdf_pages_get_scale(UiPdfPages *view);           /* as shown: never 0 */
/* The point at y (0 to 1) of a page comes to `align` of the height. */
void ui_pdf_pages_scroll_to(UiPdfPages *view, uint32_t page, double y, double align);
/* The first point in sight, and the last. */
void ui_pdf_pages_get_visible(UiPdfPages *view, uint32_t *ret_page, double *ret_y, uint32_t *ret_last_page, double *ret_last_y);
void ui_pdf_pages_set_passage(UiPdfPages *view, const AppBox *boxes, size_t n_boxes, bool emphasised); /* n_boxes 0: none */
/* boxes of words found: copied; those numbered `current` by the same index of `matches` stand out. */
void ui_pdf_pages_set_matches(UiPdfPages *view, const AppBox *boxes, const int *matches, size_t n_boxes, int current);
/* For tests: where a box of a page stands now, in the widget's coordinates. */
bool ui_pdf_pages_get_box_rect(UiPdfPages *view, const AppBox *box, graphene_rect_t *ret_rect);
bool ui_pdf_pages_is_crisp(UiPdfPages *view); /* all of what is in sight is there at its size, or has failed */

G_END_DECLS

#endif
