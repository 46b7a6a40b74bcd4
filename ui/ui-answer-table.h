/* ui-answer-table.h: the answers of many documents to one question, as a table.
 *
 * Owns: rows as they come, copying the table, saving it as CSV. Does not own: asking.
 */
#ifndef UI_ANSWER_TABLE_H
#define UI_ANSWER_TABLE_H

#include <adwaita.h>

#include "app-ask.h"

G_BEGIN_DECLS

#define UI_TYPE_ANSWER_TABLE (ui_answer_table_get_type())
G_DECLARE_FINAL_TYPE(UiAnswerTable, ui_answer_table, UI, ANSWER_TABLE, AdwBin)

GtkWidget *ui_answer_table_new(void);
void ui_answer_table_append(UiAnswerTable *table, const AppAskRow *row);
guint ui_answer_table_get_n_rows(UiAnswerTable *table);

G_END_DECLS

#endif
