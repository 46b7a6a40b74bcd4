/* ui-text-page.h: a document's text, set for reading: headings, a comfortable measure, tables in columns, page marks in the margin.
 *
 * Owns: putting the text into the view without holding up the main loop, scrolling to a place (also before the text is all there),
 *       marking the passage and the words found. Does not own: which document, finding.
 *
 * Places are bytes of the document's text. Signals: "moved": what is in sight has changed.
 */
#ifndef UI_TEXT_PAGE_H
#define UI_TEXT_PAGE_H

#include <gtk/gtk.h>

#include "ui-document.h"

G_BEGIN_DECLS

#define UI_TYPE_TEXT_PAGE (ui_text_page_get_type())
G_DECLARE_FINAL_TYPE(UiTextPage, ui_text_page, UI, TEXT_PAGE, GtkTextView)

void ui_text_page_set_document(UiTextPage *page, UiDocument *document); /* NULL: nothing */
bool ui_text_page_is_filled(UiTextPage *page);  /* it begins when the view is first in sight */
bool ui_text_page_is_settled(UiTextPage *page); /* filled, and not on its way to a place */
/* Scrolls so that the byte stands at `align` of the height (0 top); at once or when the text is there. */
void ui_text_page_scroll_to(UiTextPage *page, uint64_t byte, double align);
/* Of the first and behind the last line in sight. */
void ui_text_page_get_visible(UiTextPage *page, uint64_t *ret_start, uint64_t *ret_end);
void ui_text_page_set_passage(UiTextPage *page, const UiRange *passage, bool emphasised); /* NULL: none */
/* matches: UiRange, in order, borrowed until the next call; NULL: none. current: index or -1. */
void ui_text_page_set_matches(UiTextPage *page, const GArray *matches, int current);
void ui_text_page_set_zoom(UiTextPage *page, double zoom); /* 1: the usual size */
/* For tests: rectangles of a range, in the view's buffer coordinates; graphene_rect_t. */
GArray *ui_text_page_get_rects(UiTextPage *page, const UiRange *range);

G_END_DECLS

#endif
