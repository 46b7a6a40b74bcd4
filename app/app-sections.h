/* app-sections.h: cutting a document's text into sections for a model.
 *
 * Owns: where sections begin and end, their heads, their token ids.
 * Does not own: headings (found on import), rows of sections (app-library-parts.c), reading them.
 *
 * A section's text is one range of the document's text, trimmed of white space; sections come in order, do not overlap, and leave out
 * nothing but white space. Its tokens are <|endoftext|> and those of head + "\n\n" + text, at most the model's section_tokens_max.
 */
#ifndef APP_SECTIONS_H
#define APP_SECTIONS_H

#include "app-library-internal.h"
#include "eng.h"

G_BEGIN_DECLS

enum {
    APP_SECTION_GOAL_TOKENS = 1400, /* about so long, where the text leaves a choice */
    APP_SECTION_LEAST_TOKENS = 60,  /* shorter beginnings (a lone heading) go with what follows */
};

/* Names the way of cutting for a model: its tokenizer, its section length and this file's own version. g_free. */
char *app_section_rule(const eng_model *model);

/* The tokens of one section, exactly as the model reads them. */
bool app_section_tokens(const eng_model *model, const char *head, const char *text, size_t n_bytes, eng_tokens *tokens, GError **error);

/* Makes the document's sections for the model if the library has none yet for its rule; makes the rule the document's latest.
 * *ret_cut (may be NULL): whether there was anything to do. */
bool app_sections_ensure(AppLibrary *library, int64_t document, const eng_model *model, const bool *cancel, bool *ret_cut, GError **error);

/* ---- the cutter itself, which knows neither models nor libraries (app-section-plan.c) ---- */

/* A piece of text that is not cut further, and the white space behind it: a paragraph, a row of a table, a sentence. */
typedef struct AppUnit {
    uint64_t start, end, char_start;
    uint32_t n_tokens;
    int32_t heading;   /* index of the heading it stands under, -1 none */
    bool joins_before; /* better not cut before it: a row of a table */
} AppUnit;

typedef struct AppPiece {
    size_t first, end; /* units */
    int32_t heading;   /* whose path is the head; -1: the title alone */
} AppPiece;

typedef struct AppPlanLimits {
    uint32_t goal_tokens;
    uint32_t most_tokens; /* of text, head and markers left out */
    uint32_t least_tokens;
} AppPlanLimits;

/* headings in text order with levels >= 1. Returns AppPiece in order: together they hold every unit exactly once. */
GArray *app_sections_plan(const AppUnit *units, size_t n_units, const AppHeadingMark *headings, size_t n_headings, const AppPlanLimits *limits);

/* "Title › Part › Chapter" of a heading, shortened to at most n_most bytes. g_free. */
char *app_section_head(const char *title, const AppHeadingMark *headings, int32_t heading, size_t n_most);

/* Length of the first unit of text: a paragraph with the blank lines behind it, or less if it is longer than n_most (then up to a line, a
 * sentence, a space, a character). 0: no border yet and the text goes on. */
size_t app_unit_length(const char *text, size_t n_bytes, size_t n_most, bool at_end);
/* Cuts a unit that is too long: length of its first part, about n_goal bytes, at a line, sentence, space or character. */
size_t app_unit_split(const char *text, size_t n_bytes, size_t n_goal);

G_END_DECLS

#endif
