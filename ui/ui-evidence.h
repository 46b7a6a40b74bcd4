/* ui-evidence.h: cards that lead to a passage: a quotation with its badge, or a passage by search.
 *
 * Owns: how they look and read aloud; a click activates win.show-passage. Does not own: the passage itself.
 */
#ifndef UI_EVIDENCE_H
#define UI_EVIDENCE_H

#include <adwaita.h>

#include "app-ask.h"

G_BEGIN_DECLS

GtkWidget *ui_evidence_new(const AppEvidence *evidence);
GtkWidget *ui_evidence_new_for_hit(const AppHit *hit);
/* “quotation” — Title › Chapter, page 12. g_free. */
char *ui_evidence_citation(const AppEvidence *evidence);

G_END_DECLS

#endif
