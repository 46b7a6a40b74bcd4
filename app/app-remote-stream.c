/* app-remote-stream.c: see app-remote-stream.h. */
#include "app-remote-stream.h"

#include <glib/gi18n.h>
#include <jansson.h>
#include <string.h>

#include "app-remote.h"
#include "app-think.h"

enum {
    EVENT_BYTES_MAX = 1 << 20,
    TEXT_BYTES_MAX = 256 << 10,
    SAID_CHARS_MAX = 200,
};

struct AppRemoteStream {
    AppRemoteTextFn on_text;
    void *user;
    GString *line;  /* the line that is not complete yet */
    GString *data;  /* of the event's data lines; or, without events, the whole answer */
    bool is_events, is_object; /* decided by the first byte that is no space */
    bool saw_end, saw_done, complete, cut; /* end: the model's; done: the stream's */
    GString *text;
    AppThink think; /* what it thinks aloud is left out */
    uint64_t n_pieces, n_tokens, n_prompt_tokens;
};

AppRemoteStream *app_remote_stream_new(AppRemoteTextFn on_text, void *user)
{
    AppRemoteStream *stream = g_new0(AppRemoteStream, 1);
    stream->on_text = on_text;
    stream->user = user;
    stream->line = g_string_new(NULL);
    stream->data = g_string_new(NULL);
    stream->text = g_string_new(NULL);
    return stream;
}

void app_remote_stream_free(AppRemoteStream *stream)
{
    if (stream == NULL) return;
    g_string_free(stream->line, TRUE);
    g_string_free(stream->data, TRUE);
    g_string_free(stream->text, TRUE);
    app_think_clear(&stream->think);
    g_free(stream);
}

static bool fail(GError **error, const char *reason)
{
    g_set_error(error, APP_REMOTE_ERROR, APP_REMOTE_ERROR_ANSWER, _("the second machine does not answer as an OpenAI-compatible server does: %s"), reason);
    return false;
}

/* ------------------------------------------------------------------------------------------------------------------ text */

/* Adds visible text; control characters but line breaks and tabs are dropped: they drive terminals. */
static void add_visible(void *user, const char *text, size_t n, bool is_thought)
{
    AppRemoteStream *stream = user;
    if (is_thought) return;
    size_t before = stream->text->len;
    for (const char *at = text, *end = text + n; at < end; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        size_t n_char = (size_t)(g_utf8_next_char(at) - at);
        if (stream->text->len + n_char > TEXT_BYTES_MAX) {
            stream->cut = true;
            break;
        }
        bool is_space = g_unichar_isspace(c) || c == '\n';
        if ((g_unichar_iscntrl(c) && c != '\n' && c != '\t') || (is_space && stream->text->len == 0)) continue;
        g_string_append_len(stream->text, at, (gssize)n_char);
    }
    if (stream->text->len > before && stream->on_text != NULL) stream->on_text(stream->user, stream->text->str + before, stream->text->len - before);
}

/* --------------------------------------------------------------------------------------------------------------- objects */

static bool fail_said(const json_t *problem, GError **error)
{
    const char *said = json_string_value(json_is_object(problem) ? json_object_get(problem, "message") : problem);
    if (said == NULL) said = _("an error without words");
    g_autofree char *shown = g_utf8_substring(said, 0, MIN(g_utf8_strlen(said, -1), SAID_CHARS_MAX));
    for (char *at = shown; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f) *at = ' ';
    g_set_error(error, APP_REMOTE_ERROR, APP_REMOTE_ERROR_ANSWER, _("the second machine says: %s"), shown);
    return false;
}

static void take_usage(AppRemoteStream *stream, const json_t *usage)
{
    json_int_t n = json_integer_value(json_object_get(usage, "completion_tokens")), prompt = json_integer_value(json_object_get(usage, "prompt_tokens"));
    if (n > 0) stream->n_tokens = (uint64_t)n;
    if (prompt > 0) stream->n_prompt_tokens = (uint64_t)prompt;
}

/* A chunk ("delta") or a whole answer ("message"). */
static bool take_object(AppRemoteStream *stream, const json_t *root, GError **error)
{
    const json_t *problem = json_object_get(root, "error");
    if (problem != NULL && !json_is_null(problem)) return fail_said(problem, error);
    if (!json_is_object(root)) return fail(error, _("an event holds no object"));
    take_usage(stream, json_object_get(root, "usage"));
    const json_t *choices = json_object_get(root, "choices"), *choice = json_array_get(choices, 0);
    if (!json_is_array(choices)) return fail(error, _("there is no list “choices”"));
    if (choice == NULL) return true; /* a chunk of figures alone */
    const json_t *delta = json_object_get(choice, "delta"), *content = json_object_get(delta != NULL ? delta : json_object_get(choice, "message"), "content");
    if (content != NULL && !json_is_null(content) && !json_is_string(content)) return fail(error, _("the text is no text"));
    if (json_is_string(content) && json_string_length(content) > 0) {
        app_think_feed(&stream->think, json_string_value(content), json_string_length(content), add_visible, stream);
        stream->n_pieces++;
    }
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    if (finish != NULL) {
        stream->saw_end = true;
        stream->complete = strcmp(finish, "length") != 0;
    }
    return true;
}

static bool take_json(AppRemoteStream *stream, const GString *text, GError **error)
{
    g_autofree char *valid = g_utf8_make_valid(text->str, (gssize)text->len);
    json_t *root = json_loads(valid, 0, NULL);
    if (root == NULL) return fail(error, _("what it sends is no JSON"));
    bool good = take_object(stream, root, error);
    json_decref(root);
    return good;
}

/* ---------------------------------------------------------------------------------------------------------------- events */

static bool end_event(AppRemoteStream *stream, GError **error)
{
    bool good = true;
    if (strcmp(stream->data->str, "[DONE]") == 0) {
        if (!stream->saw_end) stream->complete = true;
        stream->saw_end = stream->saw_done = true;
    } else if (stream->data->len > 0) {
        good = take_json(stream, stream->data, error);
    }
    g_string_truncate(stream->data, 0);
    return good;
}

static bool take_line(AppRemoteStream *stream, GError **error)
{
    GString *line = stream->line;
    if (line->len > 0 && line->str[line->len - 1] == '\r') g_string_truncate(line, line->len - 1);
    bool good = true;
    if (line->len == 0) {
        good = end_event(stream, error);
    } else if (g_str_has_prefix(line->str, "data:")) {
        const char *value = line->str + strlen("data:");
        if (stream->data->len > 0) g_string_append_c(stream->data, '\n');
        g_string_append(stream->data, value[0] == ' ' ? value + 1 : value);
        if (stream->data->len > EVENT_BYTES_MAX) good = fail(error, _("an event has no end"));
    }
    g_string_truncate(line, 0);
    return good;
}

static bool take_events(AppRemoteStream *stream, const char *bytes, size_t n, GError **error)
{
    for (size_t i = 0; i < n && !app_remote_stream_is_done(stream); i++) {
        if (bytes[i] == '\n') {
            if (!take_line(stream, error)) return false;
        } else {
            if (stream->line->len >= EVENT_BYTES_MAX) return fail(error, _("a line has no end"));
            g_string_append_c(stream->line, bytes[i] != '\0' ? bytes[i] : ' ');
        }
    }
    return true;
}

bool app_remote_stream_take(AppRemoteStream *stream, const char *bytes, size_t n, GError **error)
{
    size_t at = 0;
    while (!stream->is_events && !stream->is_object && at < n && g_ascii_isspace(bytes[at])) at++;
    if (!stream->is_events && !stream->is_object && at < n) {
        stream->is_object = bytes[at] == '{';
        stream->is_events = !stream->is_object;
    }
    if (stream->is_events) return take_events(stream, bytes + at, n - at, error);
    if (stream->data->len + (n - at) > EVENT_BYTES_MAX) return fail(error, _("it has no end"));
    g_string_append_len(stream->data, bytes + at, (gssize)(n - at));
    return true;
}

bool app_remote_stream_is_done(const AppRemoteStream *stream)
{
    return stream->cut || stream->saw_done;
}

bool app_remote_stream_end(AppRemoteStream *stream, GError **error)
{
    if (stream->cut) return true;
    if (stream->is_object) {
        if (!take_json(stream, stream->data, error)) return false;
        stream->complete = stream->complete || (!stream->saw_end && stream->text->len > 0);
        stream->saw_end = stream->saw_end || stream->text->len > 0;
    }
    if (stream->is_events && ((stream->line->len > 0 && !take_line(stream, error)) || !end_event(stream, error))) return false;
    if (!stream->saw_end && !stream->cut) {
        g_set_error_literal(error, APP_REMOTE_ERROR, stream->is_events ? APP_REMOTE_ERROR_OFFLINE : APP_REMOTE_ERROR_ANSWER,
                            stream->is_events ? _("the second machine stopped in the middle of its answer") : _("the second machine's answer is empty"));
        return false;
    }
    app_think_end(&stream->think, add_visible, stream); /* "<thi" was all of it */
    return true;
}

const char *app_remote_stream_get_text(const AppRemoteStream *stream)
{
    return stream->text->str;
}

bool app_remote_stream_is_complete(const AppRemoteStream *stream)
{
    return stream->complete && !stream->cut;
}

uint64_t app_remote_stream_n_tokens(const AppRemoteStream *stream)
{
    return stream->n_tokens > 0 ? stream->n_tokens : stream->n_pieces;
}

uint64_t app_remote_stream_n_prompt_tokens(const AppRemoteStream *stream)
{
    return stream->n_prompt_tokens;
}
