/* app-ask-remote.c: a question whose answer a second machine writes.
 *
 * Owns: which text goes there (that of the chosen sections, and no more), saying so before, taking the reply.
 * Does not own: choosing (app-choose.c), the connection (app-remote.h), finding what it quotes (app-place.c): that is done here, in the
 *               documents, as for any free reply.
 */
#include "app-ask-internal.h"

#include <string.h>

#include "app-format.h"
#include "app-remote-internal.h"

static void send_text(void *user, const char *text, size_t n_bytes)
{
    app_asking_send(user, (AppAskEvent){.kind = APP_ASK_TEXT, .text = text, .n_bytes = n_bytes});
}

/* The documents that something is sent of. */
static uint32_t count_documents(const AppAnswer *answer)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_int64_hash, g_int64_equal);
    for (size_t i = 0; i < answer->n_attended; i++) g_hash_table_add(seen, &answer->attended[i].document);
    return g_hash_table_size(seen);
}

static void say_what_leaves(const AppAsking *asking)
{
    const AppAnswer *answer = asking->answer;
    const AppRemote *remote = asking->options->remote;
    uint64_t n_tokens = 0;
    for (size_t i = 0; i < answer->n_attended; i++) n_tokens += answer->attended[i].n_tokens;
    uint32_t n_documents = count_documents(answer);
    g_autofree char *tokens = app_format_count(n_tokens);
    g_autofree char *words = g_strdup_printf("sends the question and the text of %zu passage%s (%s tokens) of %u document%s to %s%s", answer->n_attended,
                                             answer->n_attended == 1 ? "" : "s", tokens, n_documents, n_documents == 1 ? "" : "s",
                                             app_remote_get_host(remote), app_remote_is_encrypted(remote) ? ", encrypted" : ", not encrypted");
    app_asking_send(asking, (AppAskEvent){.kind = APP_ASK_SENDING, .n_documents = n_documents, .n_sections = (uint32_t)answer->n_attended,
                                          .n_tokens = n_tokens, .text = words, .n_bytes = strlen(words)});
}

static void take_reply(AppAsking *asking, AppRemoteReply *remote)
{
    AppReply *reply = &asking->reply;
    AppAnswer *answer = asking->answer;
    reply->text = g_strdup(remote->text);
    reply->answer = g_steal_pointer(&remote->text);
    reply->complete = remote->complete;
    reply->n_tokens = (size_t)remote->n_tokens;
    reply->first_token_us = remote->first_text_us;
    /* Models add a full stop, a quotation mark or a line more to it. */
    g_autofree char *start = g_utf8_strdown(reply->answer, -1), *absent = g_utf8_strdown(APP_REMOTE_ABSENT, -1);
    absent[strlen(absent) - 1] = '\0';
    reply->absent = g_str_has_prefix(start, absent) || (start[0] == '"' && g_str_has_prefix(start + 1, absent));
    g_free(answer->model);
    answer->model = g_steal_pointer(&remote->model);
    answer->remote = g_strdup(app_remote_get_host(asking->options->remote));
}

bool app_ask_decode_remotely(AppAsking *asking, GError **error)
{
    const AppCorpus *corpus = asking->asker->corpus;
    size_t n = app_corpus_n_sections(corpus);
    g_autofree const char **passages = g_new0(const char *, n + 1);
    g_autofree size_t *n_bytes = g_new0(size_t, n + 1);
    for (size_t i = 0; i < n; i++) passages[i] = app_corpus_get_text(corpus, i, &n_bytes[i]);
    AppRemoteQuestion question = {.question = asking->question, .passages = passages, .passage_bytes = n_bytes, .n_passages = n,
                                  .n_tokens_max = asking->options->n_reply_tokens_max, .temperature = asking->options->temperature,
                                  .on_text = send_text, .user = asking, .cancel = asking->cancel};
    g_auto(AppRemoteReply) reply = {0};
    say_what_leaves(asking);
    asking->answer->open_us = g_get_monotonic_time() - asking->start_us;
    if (!app_remote_ask(asking->options->remote, &question, &reply, error)) return false;
    take_reply(asking, &reply);
    return true;
}
