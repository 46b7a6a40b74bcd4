/* app-choose.c: which sections of a shelf a question attends to.
 *
 * Owns: getting the three rankings. Does not own: how they are joined (app-rank.c).
 */
#include "app-choose.h"

#include <math.h>
#include <stdlib.h>

#include "app-engine-internal.h"
#include "app-rank.h"
#include "app-table-values.h"

/* Above so many tokens the key codes of the sections that words or heads rank best are looked at, not of all: each costs about a
 * kilobyte a token to read. */
enum { KEY_RANK_TOKENS_MAX = 3000000 };
#define WORDS_WEIGHT 1.0f
#define HEADS_WEIGHT 1.0f
#define KEYS_WEIGHT 1.0f
#define DOCUMENTS_WEIGHT 2.0f
#define VALUES_WEIGHT 2.0f
enum { VALUES_MAX = 3, RANKINGS = 5 };

/* "Osborne's" is asked, "Osborne" stands in the text: the possessive goes, be its apostrophe straight or curly. */
static char *strip_possessives(const char *question)
{
    GString *words = g_string_new(NULL);
    for (const char *at = question; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (c == '\'' || c == 0x2019) {
            const char *next = g_utf8_next_char(at);
            bool possessive = (*next == 's' || *next == 'S') && !g_unichar_isalnum(g_utf8_get_char(next + 1));
            g_string_append_c(words, possessive ? ' ' : '\'');
            if (possessive) at = next;
            continue;
        }
        g_string_append_unichar(words, c);
    }
    return g_string_free(words, FALSE);
}

char *app_choose_fill_search(const AppShelf *shelf, const char *question, const char *rule, AppSearch *ret_search)
{
    char *words = strip_possessives(question);
    *ret_search = (AppSearch){.words = words, .mode = APP_SEARCH_ANY, .documents = app_shelf_documents(shelf),
                              .n_documents = app_shelf_n_documents(shelf), .rule = rule};
    return words;
}

static void fill_nan(float *scores, size_t n)
{
    for (size_t i = 0; i < n; i++) scores[i] = NAN;
}

static guint64 section_key(int64_t document, uint32_t ordinal) { return (guint64)document << 24 ^ ordinal; }

static bool rank_by_words(const AppChoice *choice, float *ret_scores, GError **error)
{
    size_t n = app_shelf_n_sections(choice->shelf);
    fill_nan(ret_scores, n);
    AppSearch search;
    g_autofree char *asked = app_choose_fill_search(choice->shelf, choice->question, choice->rule, &search);
    search.no_snippet = true;
    search.limit = 2000;
    g_autoptr(GArray) ranked = app_library_rank_sections(choice->library, &search, error);
    if (!ranked) return false;
    g_autoptr(GHashTable) index = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    for (size_t i = 0; i < n; i++) {
        const AppShelfSection *section = app_shelf_get(choice->shelf, i);
        guint64 key = section_key(section->document->id, section->info->ordinal);
        g_hash_table_insert(index, g_memdup2(&key, sizeof key), GSIZE_TO_POINTER(i + 1));
    }
    for (guint i = 0; i < ranked->len; i++) {
        const AppSectionScore *score = &g_array_index(ranked, AppSectionScore, i);
        guint64 key = section_key(score->document, score->section);
        size_t at = GPOINTER_TO_SIZE(g_hash_table_lookup(index, &key));
        if (at) ret_scores[at - 1] = (float)score->score;
    }
    return true;
}

static bool rank_by_heads(const AppChoice *choice, float *ret_scores)
{
    size_t n = app_shelf_n_sections(choice->shelf);
    g_autofree const char **heads = g_new(const char *, n);
    for (size_t i = 0; i < n; i++) heads[i] = app_shelf_get(choice->shelf, i)->info->head;
    size_t n_sharing = app_rank_by_heads(choice->question, heads, n, ret_scores);
    for (size_t i = 0; i < n; i++)
        if (ret_scores[i] <= 0) ret_scores[i] = NAN;
    return n_sharing > 0;
}

typedef struct Wanted {
    float fused;
    uint32_t index;
} Wanted;

static int compare_wanted(const void *a, const void *b)
{
    const Wanted *x = a, *y = b;
    if (x->fused != y->fused) return x->fused > y->fused ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* The sections whose key codes are looked at: all, or the best by what is known already. Their number; `order` is filled. */
static size_t pick_for_keys(const AppChoice *choice, const float *fused, uint32_t *order)
{
    size_t n = app_shelf_n_sections(choice->shelf), n_picked = 0;
    g_autofree Wanted *wanted = g_new(Wanted, n);
    for (size_t i = 0; i < n; i++) wanted[i] = (Wanted){fused[i], (uint32_t)i};
    if (app_shelf_n_tokens(choice->shelf) > KEY_RANK_TOKENS_MAX) qsort(wanted, n, sizeof *wanted, compare_wanted);
    uint64_t n_tokens = 0;
    for (size_t i = 0; i < n; i++) {
        n_tokens += app_shelf_get(choice->shelf, wanted[i].index)->info->n_tokens;
        if (n_tokens > KEY_RANK_TOKENS_MAX) break;
        order[n_picked++] = wanted[i].index;
    }
    return n_picked;
}

static bool rank_by_keys(const AppChoice *choice, const float *fused, float *ret_scores, GError **error)
{
    size_t n = app_shelf_n_sections(choice->shelf);
    fill_nan(ret_scores, n);
    g_autofree uint32_t *order = g_new(uint32_t, n);
    size_t n_picked = pick_for_keys(choice, fused, order);
    g_autofree eng_section *sections = g_new(eng_section, MAX(n_picked, 1));
    g_autofree float *scores = g_new0(float, MAX(n_picked, 1));
    for (size_t i = 0; i < n_picked; i++) {
        if (!app_shelf_load(choice->shelf, order[i], ENG_VERIFY_NOT, error)) return false;
        sections[i] = app_shelf_get(choice->shelf, order[i])->section;
    }
    eng_error engine_error = {0};
    eng_status status =
        eng_rank_sections(choice->runtime, NULL, 0, choice->prompt, choice->n_prompt, sections, n_picked, scores, &engine_error);
    if (status == ENG_LIMIT) return true; /* a very long question: words alone decide */
    if (status != ENG_OK) {
        app_engine_set_error(error, status, &engine_error);
        return false;
    }
    for (size_t i = 0; i < n_picked; i++) ret_scores[order[i]] = scores[i];
    return true;
}

/* Sections of documents whose company or year the question names. */
static bool rank_by_documents(const AppChoice *choice, float *ret_scores)
{
    size_t n = app_shelf_n_sections(choice->shelf), n_documents = app_shelf_n_documents(choice->shelf);
    g_autofree float *fits = g_new0(float, MAX(n_documents, 1));
    bool differ = app_table_values_rate_documents(choice->library, app_shelf_documents(choice->shelf), n_documents, choice->question, fits);
    for (size_t i = 0; i < n; i++) {
        float fit = fits[app_shelf_get(choice->shelf, i)->index_of_document];
        ret_scores[i] = fit > 0 ? fit : NAN;
    }
    return differ;
}

/* Sections that hold a table's cell which the question asks for by row and year. */
static bool rank_by_values(const AppChoice *choice, float *ret_scores)
{
    size_t n = app_shelf_n_sections(choice->shelf);
    fill_nan(ret_scores, n);
    g_autoptr(GPtrArray) hits = app_table_values_find(choice->library, app_shelf_documents(choice->shelf), app_shelf_n_documents(choice->shelf),
                                                      choice->question, VALUES_MAX, NULL);
    bool any = false;
    for (guint h = 0; hits && h < hits->len; h++) {
        const AppHit *hit = hits->pdata[h];
        for (size_t i = 0; i < n; i++) {
            const AppShelfSection *section = app_shelf_get(choice->shelf, i);
            bool holds = section->document->id == hit->document && section->info->start <= hit->start && section->info->end > hit->start;
            if (!holds) continue;
            ret_scores[i] = isnan(ret_scores[i]) ? (float)hit->score : MAX(ret_scores[i], (float)hit->score);
            any = true;
        }
    }
    return any;
}

GArray *app_choose_sections(const AppChoice *choice, GError **error)
{
    size_t n = app_shelf_n_sections(choice->shelf), n_rankings = 0;
    g_autofree float *words = g_new(float, n), *heads = g_new(float, n), *keys = g_new(float, n), *fused = g_new(float, n);
    g_autofree float *documents = g_new(float, n), *values = g_new(float, n);
    g_autofree uint32_t *n_tokens = g_new(uint32_t, n);
    AppRanking rankings[RANKINGS];
    if (!rank_by_words(choice, words, error)) return NULL;
    rankings[n_rankings++] = (AppRanking){words, WORDS_WEIGHT};
    if (rank_by_heads(choice, heads)) rankings[n_rankings++] = (AppRanking){heads, HEADS_WEIGHT};
    if (rank_by_documents(choice, documents)) rankings[n_rankings++] = (AppRanking){documents, DOCUMENTS_WEIGHT};
    if (rank_by_values(choice, values)) rankings[n_rankings++] = (AppRanking){values, VALUES_WEIGHT};
    app_rank_fuse(rankings, n_rankings, n, fused);
    if (!rank_by_keys(choice, fused, keys, error)) return NULL;
    rankings[n_rankings++] = (AppRanking){keys, KEYS_WEIGHT};
    app_rank_fuse(rankings, n_rankings, n, fused);
    for (size_t i = 0; i < n; i++) n_tokens[i] = app_shelf_get(choice->shelf, i)->info->n_tokens;
    return app_rank_choose(fused, rankings, n_rankings, n_tokens, n, choice->budget_tokens, choice->n_sections_max);
}
