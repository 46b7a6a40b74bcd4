/* ui-ask-view.h: the pane that asks: what is asked, the conversation, the answer as it comes, its evidence.
 *
 * Owns: one conversation at a time, the question in progress on its thread, stopping it, copying. Does not own: showing a passage (it
 *       activates win.show-passage), the list of conversations (side bar).
 *
 * Signals: "answered" (const AppAnswer *answer, NULL when another conversation is shown); "looked" (UiTurn *turn, NULL: none): the answer whose
 * looks the strip beside the text shows: the latest, or the one that has the focus.
 */
#ifndef UI_ASK_VIEW_H
#define UI_ASK_VIEW_H

#include <adwaita.h>

#include "app-ask.h"
#include "ui-context.h"

G_BEGIN_DECLS

#define UI_TYPE_ASK_VIEW (ui_ask_view_get_type())
G_DECLARE_FINAL_TYPE(UiAskView, ui_ask_view, UI, ASK_VIEW, AdwBin)

GtkWidget *ui_ask_view_new(UiContext *context);
void ui_ask_view_set_context(UiAskView *view, UiContext *context);
/* What the next question is put to; begins a new conversation if the scope differs from the present one's. documents NULL or n 0: the
 * collection, or everything when that is 0. */
void ui_ask_view_set_scope(UiAskView *view, const int64_t *documents, size_t n_documents, int64_t collection);
void ui_ask_view_set_conversation(UiAskView *view, int64_t conversation); /* 0: a new one */
/* Of the conversation shown, or being loaded: scrolls there. */
void ui_ask_view_show_turn(UiAskView *view, int64_t turn);
int64_t ui_ask_view_get_conversation(UiAskView *view);
void ui_ask_view_focus_entry(UiAskView *view);
bool ui_ask_view_is_busy(UiAskView *view); /* a question is in progress, or waits for the model */
bool ui_ask_view_stop(UiAskView *view); /* false: no question was in progress */

G_END_DECLS

#endif
