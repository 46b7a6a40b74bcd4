/* app-library-conversations.c: conversations, their turns and quotations; words found in them.
 *
 * Owns: their rows. A quotation keeps its text when its document goes. Does not own: how an answer comes about (app-ask).
 */
#include <glib/gi18n.h>
#include <inttypes.h>
#include <string.h>

#include "app-library-internal.h"

void app_conversation_free(AppConversation *conversation)
{
    if (conversation == NULL) return;
    g_free(conversation->title);
    g_free(conversation->scope);
    g_free(conversation);
}

void app_quotation_clear(AppQuotation *quotation)
{
    g_free(quotation->document_title);
    g_free(quotation->text);
    g_free(quotation->page_label);
    *quotation = (AppQuotation){0};
}

void app_turn_free(AppTurn *turn)
{
    if (turn == NULL) return;
    for (size_t i = 0; i < turn->n_quotations; i++) app_quotation_clear(&turn->quotations[i]);
    g_free(turn->quotations);
    g_free(turn->question);
    g_free(turn->answer);
    g_free(turn->model);
    g_free(turn->stats);
    g_free(turn);
}

int64_t app_library_add_conversation(AppLibrary *library, const char *title, const char *scope, GError **error)
{
    AppDb *db = app_library_begin_write(library, error);
    if (db == NULL) return -1;
    int64_t now = app_library_now();
    bool ok = app_db_run(db, error, "INSERT INTO conversations(title, scope, created_s, updated_s) VALUES(?, ?, ?, ?)", "ttii",
                         title != NULL ? title : "", scope != NULL ? scope : "{}", now, now);
    int64_t id = sqlite3_last_insert_rowid(app_db_handle(db));
    return app_library_end_write(library, db, ok, 0, error) ? id : -1;
}

/* id 0: all. */
static GPtrArray *list_conversations(AppLibrary *library, int64_t id, uint32_t limit, GError **error)
{
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return NULL;
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)app_conversation_free);
    sqlite3_stmt *rows = app_db_query(db, error,
                                      "SELECT id, title, scope, created_s, updated_s, (SELECT count(*) FROM turns WHERE conversation=c.id)"
                                      " FROM conversations c WHERE ?1=0 OR id=?1 ORDER BY updated_s DESC, id DESC LIMIT ?2",
                                      "ii", id, limit == 0 ? (int64_t)-1 : (int64_t)limit);
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) {
        AppConversation *conversation = g_new0(AppConversation, 1);
        conversation->id = sqlite3_column_int64(rows, 0);
        conversation->title = app_db_dup_text(rows, 1);
        conversation->scope = app_db_dup_text(rows, 2);
        conversation->created_s = sqlite3_column_int64(rows, 3);
        conversation->updated_s = sqlite3_column_int64(rows, 4);
        conversation->n_turns = (uint32_t)sqlite3_column_int64(rows, 5);
        g_ptr_array_add(list, conversation);
    }
    app_library_end_read(library, db);
    if (row == 0) return list;
    g_ptr_array_unref(list);
    return NULL;
}

GPtrArray *app_library_list_conversations(AppLibrary *library, uint32_t limit, GError **error)
{
    return list_conversations(library, 0, limit, error);
}

static void set_missing(GError **error, int64_t id)
{
    g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NOT_FOUND, _("There is no conversation %" PRId64), id);
}

AppConversation *app_library_get_conversation(AppLibrary *library, int64_t id, GError **error)
{
    g_autoptr(GPtrArray) list = id > 0 ? list_conversations(library, id, 1, error) : g_ptr_array_new();
    if (list == NULL) return NULL;
    if (list->len == 0) set_missing(error, id);
    return list->len > 0 ? g_ptr_array_steal_index(list, 0) : NULL;
}

int64_t app_library_resolve_conversation(AppLibrary *library, const char *reference, GError **error)
{
    g_autoptr(GPtrArray) list = list_conversations(library, 0, 0, error);
    if (list == NULL) return -1;
    char *end = NULL;
    gint64 number = g_ascii_strtoll(reference, &end, 10);
    bool is_number = end != reference && *end == '\0';
    g_autofree char *wanted = g_utf8_casefold(reference, -1);
    const AppConversation *exact = NULL, *part = NULL, *second = NULL;
    for (guint i = 0; i < list->len; i++) {
        const AppConversation *conversation = g_ptr_array_index(list, i);
        if (is_number && conversation->id == number) return number;
        g_autofree char *title = g_utf8_casefold(conversation->title, -1);
        if (exact == NULL && strcmp(title, wanted) == 0) exact = conversation;
        if (wanted[0] == '\0' || strstr(title, wanted) == NULL) continue;
        if (part == NULL) {
            part = conversation;
        } else if (second == NULL) {
            second = conversation;
        }
    }
    if (exact != NULL) return exact->id;
    if (part != NULL && second == NULL) return part->id;
    if (part == NULL) {
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_NOT_FOUND, _("There is no conversation “%s”"), reference);
    } else {
        g_set_error(error, APP_LIBRARY_ERROR, APP_LIBRARY_ERROR_AMBIGUOUS, _("“%s” fits several conversations: “%s” (%d), “%s” (%d)"), reference,
                    part->title, (int)part->id, second->title, (int)second->id);
    }
    return -1;
}

static bool must_change(AppDb *db, int64_t id, GError **error)
{
    if (sqlite3_changes(app_db_handle(db)) > 0) return true;
    set_missing(error, id);
    return false;
}

bool app_library_rename_conversation(AppLibrary *library, int64_t id, const char *title, GError **error)
{
    AppDb *db = app_library_begin_write(library, error);
    if (db == NULL) return false;
    bool ok = app_db_run(db, error, "UPDATE conversations SET title=? WHERE id=?", "ti", title, id) && must_change(db, id, error);
    return app_library_end_write(library, db, ok, 0, error);
}

bool app_library_remove_conversation(AppLibrary *library, int64_t id, GError **error)
{
    AppDb *db = app_library_begin_write(library, error);
    if (db == NULL) return false;
    bool ok = app_db_run(db, error, "DELETE FROM conversations WHERE id=?", "i", id) && must_change(db, id, error);
    return app_library_end_write(library, db, ok, 0, error);
}

static const char *text_or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static bool put_quotation(AppDb *db, int64_t turn, size_t index, const AppQuotation *quotation, GError **error)
{
    return app_db_run(db, error,
                      "INSERT INTO quotations(turn, idx, document, document_title, section, text, start, end, char_start, char_end, page,"
                      " page_label, verified) VALUES(?, ?, nullif(?, 0), ?, ?, ?, ?, ?, ?, ?, nullif(?, -1), ?, ?)",
                      "iiititiiiiiti", turn, (int64_t)index, quotation->document, text_or_empty(quotation->document_title), quotation->section,
                      text_or_empty(quotation->text), (int64_t)quotation->start, (int64_t)quotation->end, (int64_t)quotation->char_start,
                      (int64_t)quotation->char_end, quotation->page == UINT32_MAX ? (int64_t)-1 : (int64_t)quotation->page,
                      text_or_empty(quotation->page_label), (int64_t)quotation->verified);
}

int64_t app_library_add_turn(AppLibrary *library, int64_t conversation, const AppTurn *turn, GError **error)
{
    AppDb *db = app_library_begin_write(library, error);
    if (db == NULL) return -1;
    int64_t now = app_library_now();
    bool ok = app_db_run(db, error, "UPDATE conversations SET updated_s=? WHERE id=?", "ii", now, conversation) &&
              must_change(db, conversation, error) &&
              app_db_run(db, error, "INSERT INTO turns(conversation, question, answer, model, found, stats, created_s) VALUES(?,?,?,?,?,?,?)",
                         "itttiti", conversation, text_or_empty(turn->question), text_or_empty(turn->answer), text_or_empty(turn->model),
                         (int64_t)turn->found, turn->stats != NULL ? turn->stats : "{}", now);
    int64_t id = sqlite3_last_insert_rowid(app_db_handle(db));
    for (size_t i = 0; ok && i < turn->n_quotations; i++) ok = put_quotation(db, id, i, &turn->quotations[i], error);
    return app_library_end_write(library, db, ok, 0, error) ? id : -1;
}

static bool read_quotations(AppDb *db, AppTurn *turn, GError **error)
{
    g_autoptr(GArray) list = g_array_new(FALSE, TRUE, sizeof(AppQuotation));
    sqlite3_stmt *rows = app_db_query(db, error,
                                      "SELECT document, document_title, section, text, start, end, char_start, char_end, page, page_label,"
                                      " verified FROM quotations WHERE turn=? ORDER BY idx",
                                      "i", turn->id);
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) {
        AppQuotation quotation = {
            .document = sqlite3_column_int64(rows, 0),
            .document_title = app_db_dup_text(rows, 1),
            .section = sqlite3_column_int64(rows, 2),
            .text = app_db_dup_text(rows, 3),
            .start = (uint64_t)sqlite3_column_int64(rows, 4),
            .end = (uint64_t)sqlite3_column_int64(rows, 5),
            .char_start = (uint64_t)sqlite3_column_int64(rows, 6),
            .char_end = (uint64_t)sqlite3_column_int64(rows, 7),
            .page = sqlite3_column_type(rows, 8) == SQLITE_NULL ? UINT32_MAX : (uint32_t)sqlite3_column_int64(rows, 8),
            .page_label = app_db_dup_text(rows, 9),
            .verified = sqlite3_column_int(rows, 10) != 0,
        };
        g_array_append_val(list, quotation);
    }
    turn->n_quotations = list->len;
    turn->quotations = list->len > 0 ? (AppQuotation *)(void *)g_memdup2(list->data, list->len * sizeof(AppQuotation)) : NULL;
    return row == 0;
}

GPtrArray *app_library_list_turns(AppLibrary *library, int64_t conversation, GError **error)
{
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return NULL;
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)app_turn_free);
    sqlite3_stmt *rows = app_db_query(db, error, "SELECT id, question, answer, model, found, stats, created_s FROM turns WHERE conversation=? ORDER BY id",
                                      "i", conversation);
    int row = rows != NULL ? 1 : -1;
    while (row > 0 && (row = app_db_step(db, rows, error)) > 0) {
        AppTurn *turn = g_new0(AppTurn, 1);
        turn->id = sqlite3_column_int64(rows, 0);
        turn->question = app_db_dup_text(rows, 1);
        turn->answer = app_db_dup_text(rows, 2);
        turn->model = app_db_dup_text(rows, 3);
        turn->found = sqlite3_column_int(rows, 4) != 0;
        turn->stats = app_db_dup_text(rows, 5);
        turn->created_s = sqlite3_column_int64(rows, 6);
        g_ptr_array_add(list, turn);
    }
    bool ok = row == 0;
    for (guint i = 0; ok && i < list->len; i++) ok = read_quotations(db, g_ptr_array_index(list, i), error);
    app_library_end_read(library, db);
    if (ok) return list;
    g_ptr_array_unref(list);
    return NULL;
}

/* -------------------------------------------------------------------------------------------------------------- search */

void app_conversation_hit_free(AppConversationHit *hit)
{
    if (hit == NULL) return;
    g_free(hit->title);
    g_free(hit->question);
    g_free(hit->snippet);
    g_free(hit);
}

GPtrArray *app_library_search_conversations(AppLibrary *library, const char *words, bool prefix, uint32_t limit, GError **error)
{
    enum { LIMIT_DEFAULT = 50 };
    /* Columns alike: conversation, turn, title, question, created, snippet. A snippet of column -1 is of the one that matches best. */
    static const char titles[] = "SELECT c.id, 0, c.title, '', c.created_s, highlight(conversations_fts, 0, char(2), char(3))"
                                 " FROM conversations_fts CROSS JOIN conversations c ON c.id = conversations_fts.rowid"
                                 " WHERE conversations_fts MATCH ?1 ORDER BY c.updated_s DESC LIMIT ?2";
    static const char turns[] = "SELECT c.id, t.id, c.title, t.question, t.created_s, snippet(turns_fts, -1, char(2), char(3), '…', 28)"
                                " FROM turns_fts CROSS JOIN turns t ON t.id = turns_fts.rowid JOIN conversations c ON c.id = t.conversation"
                                " WHERE turns_fts MATCH ?1 ORDER BY rank LIMIT ?2";
    g_autoptr(GPtrArray) hits = g_ptr_array_new_with_free_func((GDestroyNotify)app_conversation_hit_free);
    const AppSearch search = {.words = words, .mode = APP_SEARCH_ALL, .prefix = prefix};
    g_autofree char *query = app_library_make_query(&search);
    if (query == NULL) return g_steal_pointer(&hits);
    if (limit == 0) limit = LIMIT_DEFAULT;
    AppDb *db = app_library_begin_read(library, error);
    if (db == NULL) return NULL;
    int row = 0;
    for (int of_turns = 0; of_turns < 2 && row == 0 && hits->len < limit; of_turns++) {
        sqlite3_stmt *rows = app_db_query(db, error, of_turns ? turns : titles, "ti", query, (int64_t)(limit - hits->len));
        row = rows != NULL ? 1 : -1;
        while (row > 0 && (row = app_db_step(db, rows, error)) > 0) {
            AppConversationHit *hit = g_new0(AppConversationHit, 1);
            hit->conversation = sqlite3_column_int64(rows, 0);
            hit->turn = sqlite3_column_int64(rows, 1);
            hit->title = app_db_dup_text(rows, 2);
            hit->question = app_db_dup_text(rows, 3);
            hit->created_s = sqlite3_column_int64(rows, 4);
            hit->snippet = app_db_dup_text(rows, 5);
            g_ptr_array_add(hits, hit);
        }
    }
    app_library_end_read(library, db);
    return row == 0 ? g_steal_pointer(&hits) : NULL;
}
