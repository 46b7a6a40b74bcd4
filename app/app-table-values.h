/* app-table-values.h: the cells of tables that a question asks for by row, column, company and year (private to app/).
 *
 * Owns: reading a question as a row's label, years, a quarter and names; how well a row and a document fit. Nothing here is a model's.
 * Does not own: tables (the extractor and the library), choosing sections (app-choose.c), showing.
 *
 * A row is found by the share of the question's words that its label holds (the label of its group and the words of the table's heading
 * count less), and by how much else it says; its column by the year that stands in the table's heads. A company that is named leaves out
 * the others' documents; of its yearly reports that of the year itself goes first, those of the next two years, which repeat it, behind.
 */
#ifndef APP_TABLE_VALUES_H
#define APP_TABLE_VALUES_H

#include "app-library.h"

G_BEGIN_DECLS

/* The best cells, at most n_max, best first: AppHit* with `value` and `column`; the passage is the row, the match the cell. Empty when
 * the question does not fit any row well. NULL on failure. */
GPtrArray *app_table_values_find(AppLibrary *library, const int64_t *documents, size_t n_documents, const char *question, uint32_t n_max,
                                 GError **error);

/* How well each document fits the names and the year in the question, 0 to 1; false: the question tells none of them from the others. */
bool app_table_values_rate_documents(AppLibrary *library, const int64_t *documents, size_t n_documents, const char *question, float *ret_fits);

G_END_DECLS

#endif
