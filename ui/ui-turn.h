/* ui-turn.h: one question with its answer, while it comes and afterwards.
 *
 * Owns: how a turn looks in each of its states, copying it. Does not own: asking (ui-asking.h), the conversation (ui-ask-view.h).
 */
#ifndef UI_TURN_H
#define UI_TURN_H

#include <adwaita.h>

#include "app-ask.h"

G_BEGIN_DECLS

#define UI_TYPE_TURN (ui_turn_get_type())
G_DECLARE_FINAL_TYPE(UiTurn, ui_turn, UI, TURN, AdwBin)

GtkWidget *ui_turn_new(const char *question);
/* Work is going on; the words say on what. */
void ui_turn_set_id(UiTurn *turn, int64_t id); /* of the library; 0 until it is kept */
int64_t ui_turn_get_id(UiTurn *turn);
void ui_turn_set_progress(UiTurn *turn, const char *words);
void ui_turn_append_text(UiTurn *turn, const char *text, bool in_quotation);
void ui_turn_append_row(UiTurn *turn, const AppAskRow *row, uint32_t n_rows);
/* The final states. What came before stays where it is part of them. */
void ui_turn_set_answer(UiTurn *turn, const AppAnswer *answer);
/* Where the model looked for its answer; NULL: not known. */
const AppAttended *ui_turn_get_attended(UiTurn *turn, size_t *ret_n_attended);
void ui_turn_set_rows(UiTurn *turn, const GPtrArray *rows, bool is_stopped);
void ui_turn_set_stopped(UiTurn *turn);
/* Besides an answer or rows: why they are not in the conversation. */
void ui_turn_set_not_kept(UiTurn *turn, const char *why);
/* action: what to do about it, a detailed action name with its button's label; NULL: nothing. */
void ui_turn_set_failure(UiTurn *turn, const char *message, const char *action_label, const char *action);

G_END_DECLS

#endif
