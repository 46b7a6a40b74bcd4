/* app-section-plan.c: which paragraphs become one section.
 *
 * Owns: the rule. A heading's whole subtree is one section if it fits; else its own text is cut into even pieces and its parts are
 * taken one by one, short neighbours together. Nothing is joined over the border of a chapter. A beginning too short to stand alone
 * (a lone heading) goes with what follows.
 * Does not own: text and tokens (app-sections.c).
 */
#include <string.h>

#include "app-sections.h"

typedef struct Plan {
    const AppUnit *units;
    const AppHeadingMark *headings;
    size_t n_headings;
    AppPlanLimits limits;
    uint64_t *before;    /* tokens of units [0, i) */
    size_t *first;       /* first unit at or behind heading i; [n_headings] = n_units */
    size_t *after;       /* first heading behind heading i's subtree */
    bool *has_chapters;  /* in the subtree, itself left out */
    GArray *pieces;
} Plan;

static uint64_t tokens_of(const Plan *plan, size_t first, size_t end)
{
    return plan->before[end] - plan->before[first];
}

static void emit(Plan *plan, size_t first, size_t end, int32_t heading)
{
    AppPiece piece = {first, end, heading};
    if (end > first) g_array_append_val(plan->pieces, piece);
}

/* Even pieces at borders between units: each time the border nearest to an equal share of what is left. */
static void emit_evenly(Plan *plan, size_t first, size_t end, int32_t heading)
{
    const AppPlanLimits *limits = &plan->limits;
    while (first < end) {
        uint64_t left = tokens_of(plan, first, end);
        uint64_t n_pieces = left <= MIN(limits->goal_tokens + limits->goal_tokens / 8, limits->most_tokens)
                                ? 1
                                : (left + limits->goal_tokens - 1) / limits->goal_tokens;
        if (n_pieces == 1) {
            emit(plan, first, end, heading);
            return;
        }
        uint64_t share = left / n_pieces;
        size_t best = first + 1, at = first + 1;
        double best_cost = 1e30;
        for (; at < end; at++) {
            uint64_t so_far = tokens_of(plan, first, at);
            if (so_far > limits->most_tokens && at > first + 1) break;
            double away = (double)so_far > (double)share ? (double)so_far - (double)share : (double)share - (double)so_far;
            double cost = away + (plan->units[at].joins_before ? (double)share : 0);
            if (cost < best_cost) {
                best_cost = cost;
                best = at;
            }
        }
        emit(plan, first, best, heading);
        first = best;
    }
}

static void cut_parts(Plan *plan, int32_t parent, size_t lead, size_t from, size_t to);

/* Heading h with everything below it. lead: first unit of a short beginning that goes with it, or its own first unit. */
static void cut_heading(Plan *plan, size_t h, size_t lead)
{
    size_t end = plan->first[plan->after[h]];
    uint64_t fits = MIN(plan->limits.goal_tokens + plan->limits.goal_tokens / 8, plan->limits.most_tokens);
    if (!plan->has_chapters[h] && tokens_of(plan, lead, end) <= fits) {
        emit(plan, lead, end, (int32_t)h);
    } else {
        cut_parts(plan, (int32_t)h, lead, h + 1, plan->after[h]);
    }
}

/* The text of `parent` before its first part, then its parts: headings [from, to) of which the topmost are taken one by one. */
static void cut_parts(Plan *plan, int32_t parent, size_t lead, size_t from, size_t to)
{
    const AppPlanLimits *limits = &plan->limits;
    size_t own_end = plan->first[from < to ? from : to];
    if (from >= to || tokens_of(plan, lead, own_end) >= limits->least_tokens) {
        emit_evenly(plan, lead, own_end, parent);
        lead = own_end;
    }
    size_t run_first = lead, n_run = 0, run_heading = 0;
    for (size_t h = from; h < to; h = plan->after[h]) {
        size_t end = plan->first[plan->after[h]];
        bool is_short = !plan->headings[h].is_chapter && !plan->has_chapters[h] && tokens_of(plan, plan->first[h], end) < limits->goal_tokens / 2;
        bool fits = tokens_of(plan, run_first, end) <= MIN(limits->goal_tokens, limits->most_tokens);
        if (n_run > 0 && !(is_short && fits)) {
            emit(plan, run_first, plan->first[h], n_run == 1 ? (int32_t)run_heading : parent);
            run_first = plan->first[h];
            n_run = 0;
        }
        if (is_short) {
            run_heading = h;
            n_run++;
        } else {
            cut_heading(plan, h, run_first);
            run_first = end;
        }
    }
    if (n_run > 0) emit(plan, run_first, plan->first[to], n_run == 1 ? (int32_t)run_heading : parent);
}

static void measure(Plan *plan, size_t n_units)
{
    for (size_t i = 0; i < n_units; i++) plan->before[i + 1] = plan->before[i] + plan->units[i].n_tokens;
    size_t at = 0;
    for (size_t h = 0; h < plan->n_headings; h++) {
        while (at < n_units && plan->units[at].start < plan->headings[h].start) at++;
        plan->first[h] = at;
    }
    plan->first[plan->n_headings] = n_units;
    for (size_t h = plan->n_headings; h > 0; h--) {
        size_t next = h;
        bool chapters = false;
        while (next < plan->n_headings && plan->headings[next].level > plan->headings[h - 1].level) {
            chapters = chapters || plan->headings[next].is_chapter || plan->has_chapters[next];
            next = plan->after[next];
        }
        plan->after[h - 1] = next;
        plan->has_chapters[h - 1] = chapters;
    }
}

GArray *app_sections_plan(const AppUnit *units, size_t n_units, const AppHeadingMark *headings, size_t n_headings, const AppPlanLimits *limits)
{
    Plan plan = {.units = units, .headings = headings, .n_headings = n_headings, .limits = *limits};
    plan.before = g_new0(uint64_t, n_units + 1);
    plan.first = g_new0(size_t, n_headings + 1);
    plan.after = g_new0(size_t, n_headings + 1);
    plan.has_chapters = g_new0(bool, n_headings + 1);
    plan.pieces = g_array_new(FALSE, FALSE, sizeof(AppPiece));
    plan.limits.goal_tokens = MIN(limits->goal_tokens, limits->most_tokens);
    measure(&plan, n_units);
    cut_parts(&plan, -1, 0, 0, n_headings);
    g_free(plan.before);
    g_free(plan.first);
    g_free(plan.after);
    g_free(plan.has_chapters);
    return plan.pieces;
}

/* ----------------------------------------------------------------------------------------------------------------- heads */

/* At most n_most bytes, cut at a character, "…" behind. g_free. */
static char *shorten(const char *text, size_t n_most)
{
    size_t n = strlen(text);
    if (n <= n_most) return g_strdup(text);
    n = n_most > 3 ? n_most - 3 : 0;
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
    while (n > 0 && text[n - 1] == ' ') n--;
    g_autofree char *kept = g_strndup(text, n);
    return g_strconcat(kept, "…", NULL);
}

char *app_section_head(const char *title, const AppHeadingMark *headings, int32_t heading, size_t n_most)
{
    g_autoptr(GPtrArray) path = g_ptr_array_new(); /* innermost first; borrowed */
    uint32_t level = UINT32_MAX;
    for (int32_t h = heading; h >= 0; h--) {
        if (headings[h].level >= level) continue;
        level = headings[h].level;
        if (g_utf8_collate(headings[h].text, title) != 0) g_ptr_array_add(path, headings[h].text);
    }
    const char *joint = " › ";
    g_autofree char *first = shorten(title, n_most / 2);
    size_t n_bytes = strlen(first), kept = path->len;
    for (guint i = 0; i < path->len; i++) n_bytes += strlen(joint) + strlen(g_ptr_array_index(path, i));
    GString *head = g_string_new(first);
    if (n_bytes > n_most && path->len > 1) kept = 1; /* the innermost says most */
    for (size_t i = kept; i > 0; i--) {
        size_t room = n_most > head->len + strlen(joint) ? n_most - head->len - strlen(joint) : 0;
        g_autofree char *text = shorten(g_ptr_array_index(path, i - 1), room);
        if (room < 8) break;
        g_string_append(head, joint);
        g_string_append(head, text);
    }
    return g_string_free(head, FALSE);
}

/* ----------------------------------------------------------------------------------------------------------------- units */

static size_t skip_blank(const char *text, size_t n_bytes, size_t at)
{
    while (at < n_bytes && (text[at] == '\n' || text[at] == ' ' || text[at] == '\t')) at++;
    return at;
}

/* Behind the white space that starts with the blank line at `at`, but not into the indent of the next line. */
static size_t border_behind(const char *text, size_t n_bytes, size_t at)
{
    size_t end = skip_blank(text, n_bytes, at);
    if (end == n_bytes) return end;
    while (end > at && text[end - 1] != '\n') end--;
    return end;
}

size_t app_unit_length(const char *text, size_t n_bytes, size_t n_most, bool at_end)
{
    size_t at = skip_blank(text, n_bytes, 0);
    while (at < n_bytes && at < n_most) {
        const char *newline = memchr(text + at, '\n', n_bytes - at);
        if (newline == NULL) break;
        size_t line = (size_t)(newline - text) + 1, next = line;
        while (next < n_bytes && (text[next] == ' ' || text[next] == '\t')) next++;
        if (next == n_bytes && !at_end) return 0;
        if (next == n_bytes || text[next] == '\n') {
            size_t end = border_behind(text, n_bytes, line);
            if (end == n_bytes && !at_end) return 0;
            return end <= n_most || n_most >= n_bytes ? end : app_unit_split(text, end, n_most);
        }
        at = line;
    }
    if (n_bytes > n_most) return app_unit_split(text, n_bytes, n_most);
    return at_end ? n_bytes : 0;
}

size_t app_unit_split(const char *text, size_t n_bytes, size_t n_goal)
{
    if (n_goal >= n_bytes) return n_bytes;
    size_t least = n_goal / 2, space = 0;
    for (size_t at = n_goal; at > least && at > 1; at--) {
        if (text[at - 1] == '\n') return at;
    }
    for (size_t at = n_goal; at > least && at > 2; at--) {
        if (text[at - 1] != ' ') continue;
        if (space == 0) space = at;
        /* Sentences end before the space, quotation marks and brackets may stand between. */
        size_t end = at - 1;
        while (end > least && strchr("\"')]", text[end - 1]) != NULL && text[end - 1] != '\0') end--;
        if (end > 0 && strchr(".!?", text[end - 1]) != NULL && text[end - 1] != '\0') return at - 1;
    }
    for (size_t at = n_goal; at > least && at > 3; at--) { /* ideographic full stop and marks: U+3002, U+FF01, U+FF1F */
        if (memcmp(text + at - 3, "\xe3\x80\x82", 3) == 0 || memcmp(text + at - 3, "\xef\xbc\x81", 3) == 0 ||
            memcmp(text + at - 3, "\xef\xbc\x9f", 3) == 0) {
            return at;
        }
    }
    if (space > 0) return space - 1; /* the space goes with the word behind it, as tokenizers have it */
    size_t at = n_goal;
    while (at > 1 && ((unsigned char)text[at] & 0xc0) == 0x80) at--;
    return at;
}
