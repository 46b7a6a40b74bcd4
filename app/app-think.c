/* app-think.c: see app-think.h. */
#include "app-think.h"

#include <string.h>

#define OPENING "<think>"
#define CLOSING "</think>"

void app_think_clear(AppThink *think)
{
    if (think->held != NULL) g_string_free(think->held, TRUE);
    *think = (AppThink){0};
}

/* How many of the last bytes of `text` begin the closing mark. */
static size_t overlap(const GString *text)
{
    size_t n = MIN(text->len, strlen(CLOSING) - 1);
    while (n > 0 && memcmp(text->str + text->len - n, CLOSING, n) != 0) n--;
    return n;
}

/* Before the block or after it, white space is not text. */
static void skip_spaces(GString *text)
{
    g_string_erase(text, 0, (gssize)strspn(text->str, " \t\r\n"));
}

static void emit_answer(AppThink *think, AppThinkFn emit, void *user)
{
    if (!think->any_answer) skip_spaces(think->held);
    if (think->held->len > 0) {
        emit(user, think->held->str, think->held->len, false);
        think->any_answer = true;
    }
    g_string_truncate(think->held, 0);
}

/* Thoughts up to the closing mark, or up to what may be its beginning. */
static void emit_thoughts(AppThink *think, AppThinkFn emit, void *user)
{
    const char *closing = strstr(think->held->str, CLOSING);
    size_t n = closing != NULL ? (size_t)(closing - think->held->str) : think->held->len - overlap(think->held);
    if (n > 0) emit(user, think->held->str, n, true);
    g_string_erase(think->held, 0, (gssize)(closing != NULL ? n + strlen(CLOSING) : n));
    if (closing == NULL) return;
    think->inside = false;
    think->is_settled = true;
}

void app_think_feed(AppThink *think, const char *text, size_t n_bytes, AppThinkFn emit, void *user)
{
    if (think->held == NULL) think->held = g_string_new(NULL);
    g_string_append_len(think->held, text, (gssize)n_bytes);
    if (!think->inside && !think->is_settled) {
        skip_spaces(think->held);
        size_t n = MIN(think->held->len, strlen(OPENING));
        if (memcmp(think->held->str, OPENING, n) != 0) {
            think->is_settled = true;
        } else if (n == strlen(OPENING)) {
            g_string_erase(think->held, 0, (gssize)n);
            think->inside = true;
        }
    }
    if (think->inside) emit_thoughts(think, emit, user);
    if (think->is_settled) emit_answer(think, emit, user);
}

void app_think_end(AppThink *think, AppThinkFn emit, void *user)
{
    if (think->held == NULL || think->held->len == 0) return;
    if (think->inside)
        emit(user, think->held->str, think->held->len, true);
    else
        emit_answer(think, emit, user);
    g_string_truncate(think->held, 0);
}

typedef struct Split {
    GString *thought, *answer;
} Split;

static void collect(void *user, const char *text, size_t n_bytes, bool is_thought)
{
    Split *split = user;
    g_string_append_len(is_thought ? split->thought : split->answer, text, (gssize)n_bytes);
}

void app_think_split(const char *reply, bool inside, char **ret_thought, char **ret_answer)
{
    Split split = {g_string_new(NULL), g_string_new(NULL)};
    AppThink think = {.inside = inside};
    app_think_feed(&think, reply, strlen(reply), collect, &split);
    app_think_end(&think, collect, &split);
    app_think_clear(&think);
    *ret_thought = g_strstrip(g_string_free(split.thought, FALSE));
    *ret_answer = g_strstrip(g_string_free(split.answer, FALSE));
}
