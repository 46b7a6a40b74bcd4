/* app-ask.h: from a question to an answer with its evidence.
 *
 * Owns: which sections of the documents a question attends to, the answer while it is decoded, the quotation with its place in the
 *       source, the best passages by search, the figures of one answer.
 * Does not own: the library (app-library.h), the loaded model (app-engine.h), reading documents in (app-reader.h), how any of it is
 *       shown (cli/, ui/). It includes neither eng.h nor kern.h.
 *
 * Contract. An AppAsker keeps what it opened, so that further questions over the same documents begin at once. It answers one question
 * at a time; app_asker_ask blocks, calls back on the calling thread (a worker, in a window), and may be stopped from any thread through
 * the cancel flag. Offsets are those of app-library.h. Strings are UTF-8 and never NULL unless said.
 */
#ifndef APP_ASK_H
#define APP_ASK_H

#include "app-engine.h"
#include "app-library.h"
#include "app-remote.h"

G_BEGIN_DECLS

#define APP_ASK_ERROR (app_ask_error_quark())
GQuark app_ask_error_quark(void);
typedef enum AppAskError {
    APP_ASK_ERROR_UNREAD,  /* documents of the scope are not read yet; the message names them and what to do */
    APP_ASK_ERROR_EMPTY,   /* there is nothing to ask */
    APP_ASK_ERROR_QUESTION, /* no question, or one that is too long for the model */
    APP_ASK_ERROR_FAILED,
} AppAskError; /* a stopped question is G_IO_ERROR_CANCELLED */

typedef struct AppAskScope {
    const int64_t *documents; /* asked for by name; NULL: all of the collection, or everything */
    size_t n_documents;
    int64_t collection; /* 0: none */
} AppAskScope;

enum {
    APP_ASK_ATTEND_ALL_TOKENS = 32768, /* up to this many tokens everything is attended to */
    APP_ASK_BUDGET_TOKENS = 8192,      /* beyond, sections of about so many tokens are chosen */
};

/* Zero-initialised: the defaults. */
typedef struct AppAskOptions {
    bool attend_all;              /* look at everything, however long it is */
    bool exact;                   /* drop no attention mass */
    float drop_mass;              /* attention mass that may be left out of each token's and head's; 0: the engine's default */
    uint32_t attend_all_tokens;   /* 0: APP_ASK_ATTEND_ALL_TOKENS */
    uint32_t budget_tokens;       /* 0: APP_ASK_BUDGET_TOKENS */
    uint32_t n_sections_max;      /* of the chosen; 0: as many as the budget holds */
    uint32_t n_reply_tokens_max;  /* 0: 256 */
    float temperature;            /* 0: greedy */
    uint64_t seed;
    bool think;                   /* a chat model that can thinks first: better, and minutes later */
    uint32_t n_passages;          /* by search, with the answer; 0: 3; UINT32_MAX: none */
    int64_t conversation;         /* continues it and adds the turn; 0: none */
    const char *not_kept;         /* why there is no conversation though one was wanted: told with the answer; NULL */
    /* For measurements, may be NULL: after each step, the tokens that ran and the logits of what may follow, borrowed. */
    void (*on_step)(void *user, const uint32_t *ids, size_t n, const float *logits);
    void *on_step_user;
    AppRemote *remote;            /* answers instead of the local model, from passages that are sent to it; NULL: nothing leaves */
} AppAskOptions;

typedef enum AppEvidenceKind {
    APP_EVIDENCE_BOUND = 0, /* quoted by the model, bound to the text while decoded */
    APP_EVIDENCE_LOOKED_UP, /* quoted by the model and looked up afterwards: quotation.verified says whether it was found */
    APP_EVIDENCE_AROUND,    /* the sentence or table line around the span that the model answered with */
    APP_EVIDENCE_LIKELY,    /* not quoted: the sentence of the text that shares most words with the answer */
} AppEvidenceKind;

typedef struct AppEvidence {
    AppEvidenceKind kind;
    AppQuotation quotation; /* with its place; section -1 and start = end = 0 when it was not found */
    char *heading;          /* heading path there */
    uint64_t source_start, source_end; /* AppPlace's: characters of the original file, where there are such */
    uint32_t n_other_places; /* where the same words stand too, among the sections attended to */
    bool is_unrelated; /* no word of the question (common ones aside) stands in that passage or its heading: it may answer something else */
} AppEvidence;

/* A section that was attended to, and where in it the reply's tokens looked: a hint. */
typedef struct AppAttended {
    int64_t document;
    uint32_t section;
    uint32_t n_tokens;
    float mass;         /* attention mass of the section, mean over heads and layers */
    float *part_masses; /* [n_parts], parts of 64 tokens */
    uint32_t n_parts;
    uint64_t start, end; /* of the section's text in the document */
} AppAttended;
AppAttended *app_attended_copy(const AppAttended *attended, size_t n_attended); /* NULL of none */
void app_attended_free(AppAttended *attended, size_t n_attended);

typedef struct AppAnswer {
    char *question, *answer, *model;
    char *thought; /* what the model thought before it answered, no part of the answer; NULL: nothing */
    bool found;    /* false: the model said that it is not there, or nothing could be quoted */
    bool complete; /* false: cut at the most tokens allowed */
    AppEvidence *evidence;
    size_t n_evidence;
    GPtrArray *passages; /* AppHit*: the best passages by search */
    AppAttended *attended;
    size_t n_attended;
    uint32_t n_documents, n_sections;      /* of the scope */
    uint32_t n_sections_attended;          /* n_attended; also of an answer that was kept, which has the strongest of `attended` alone */
    uint32_t n_documents_left_out;         /* of a collection or of everything, as they are not read yet */
    uint32_t n_documents_partly_read;
    uint64_t tokens_cached;                /* of the scope, in the cache */
    uint64_t tokens_attended;              /* of the sections attended to */
    uint64_t tokens_computed_document;     /* counted by the engine: tokens of documents run through the model for this answer */
    uint64_t tokens_computed_question;
    uint64_t tokens_generated;
    int64_t choose_us, open_us, first_token_us, total_us; /* since the question was put */
    double dropped_mass; /* most of any head's attention mass that was left out, of one token */
    uint64_t value_rows, value_rows_read; /* of attention: that there were, that were read */
    bool joined_approximately; /* of several documents, or sections read each by itself, with a model that was not trained for that */
    int64_t turn;        /* in the conversation; 0: none */
    char *remote;        /* the second machine that answered; NULL: this one did. `model` is its model then */
    char *not_kept;      /* NULL; else why the turn could not be kept in the conversation, and what to do: the answer stands all the same */
} AppAnswer;
void app_answer_free(AppAnswer *answer); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppAnswer, app_answer_free)

typedef enum AppAskEventKind {
    APP_ASK_STARTED,   /* the scope is known: n_documents, n_sections, n_tokens */
    APP_ASK_CHOSEN,    /* what is attended to: n_sections, n_tokens */
    APP_ASK_SENDING,   /* before anything leaves for a second machine: n_documents, n_sections, n_tokens of what is sent; text: it in words */
    APP_ASK_TEXT,      /* more of the reply: whole characters */
    APP_ASK_THOUGHT,   /* more of what a model thinks before it answers: to be folded away */
    APP_ASK_QUOTATION, /* evidence was found in the source, with its place */
    APP_ASK_ANSWERED,  /* the answer's own text is settled: `answer` without figures yet */
    APP_ASK_FINISHED,  /* `answer` with everything */
} AppAskEventKind;

typedef struct AppAskEvent {
    AppAskEventKind kind;
    uint32_t n_documents, n_sections;
    uint64_t n_tokens;
    const char *text; /* TEXT, SENDING; not terminated at n_bytes by necessity */
    size_t n_bytes;
    bool in_quotation; /* TEXT: it belongs to the quotation */
    const AppEvidence *evidence;
    const AppAnswer *answer;
} AppAskEvent;
/* What the event points at is borrowed until it returns. */
typedef void (*AppAskEventFn)(void *user, const AppAskEvent *event);

typedef struct AppAsker AppAsker;
AppAsker *app_asker_new(AppEngine *engine);
void app_asker_free(AppAsker *asker); /* NULL is fine; no question is in progress */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppAsker, app_asker_free)

/* event and cancel may be NULL. NULL on failure: APP_ASK_ERROR, APP_LIBRARY_ERROR, APP_ENGINE_ERROR, APP_REMOTE_ERROR,
 * G_IO_ERROR_CANCELLED. */
AppAnswer *app_asker_ask(AppAsker *asker, const AppAskScope *scope, const char *question, const AppAskOptions *options, AppAskEventFn event,
                         void *user, const bool *cancel, GError **error);

/* One JSON object without line breaks: question, answer, found, complete, model, quotation (null or an object with text, document,
 * document_id, section, start, end (characters of the document's text), heading, page, verified, other_places), quotations (all),
 * passages, tokens {cached, attended, computed_document, computed_question, generated}, us {choose, open, first_token, total},
 * attended (the sections with most of the mass; parts: base64, a byte for each of the section's 64 tokens, 255 being part_mass_most),
 * dropped_mass, remote (null or the second machine). Free with g_free. */
char *app_answer_to_json(const AppAnswer *answer);

/* An answer as a turn of a conversation kept it: with where the model looked most, and passages by search as they were then. */
AppAnswer *app_answer_from_turn(const AppTurn *turn);

/* ------------------------------------------------------------------------------------------- every document by itself */

/* One document's answer to a question that was put to many. Never changed once made, so that threads may share it. */
typedef struct AppAskRow {
    gint n_refs; /* atomic */
    int64_t document;
    char *title;
    AppAnswer *answer; /* NULL: it failed */
    char *failure;     /* NULL: it did not */
} AppAskRow;
AppAskRow *app_ask_row_ref(const AppAskRow *row);
void app_ask_row_unref(AppAskRow *row); /* NULL is fine */
const char *app_ask_row_answer(const AppAskRow *row); /* the answer's text, "not found", or the failure; borrowed */
/* The evidence's page, else its section: "page 12", "section 3"; "" without. g_free. */
char *app_ask_row_place(const AppAskRow *row);

/* Asks each document of the scope by itself, in the order of titles or as named. Rows come as they are answered, borrowed; one that fails does not keep
 * the next from being asked. Elements AppAskRow*; on cancellation what was answered until then, with *ret_stopped. NULL: the scope
 * is empty or cannot be listed. options->conversation: the table is kept there as one turn; *ret_not_kept: as AppAnswer.not_kept, g_free. */
typedef void (*AppAskRowFn)(void *user, const AppAskRow *row, uint32_t index, uint32_t n_rows);
GPtrArray *app_asker_ask_each(AppAsker *asker, const AppAskScope *scope, const char *question, const AppAskOptions *options, AppAskRowFn row,
                              void *user, const bool *cancel, bool *ret_stopped, char **ret_not_kept, GError **error);
/* RFC 4180, with a header line if wanted. g_free. */
char *app_ask_rows_to_csv(const GPtrArray *rows, bool with_header);
/* The table that a turn kept; NULL: the turn is a single answer. */
GPtrArray *app_ask_rows_from_turn(const AppTurn *turn);

/* A new conversation over this scope; -1 on failure. The title may be shortened. */
int64_t app_ask_begin_conversation(AppLibrary *library, const char *title, const AppAskScope *scope, GError **error);
/* The conversation of this title, made (with the scope as JSON) when there is none; -1 on failure. */
int64_t app_ask_find_conversation(AppLibrary *library, const char *title, const AppAskScope *scope, GError **error);
/* When one could not be begun as the disk is full: takes the error for AppAskOptions.not_kept (g_free), so that the question is answered all the
 * same. NULL: it is another error, and stays. */
char *app_ask_take_not_kept(GError **error);
/* The scope that a conversation was begun with: documents that are still there. ret_documents: int64_t, empty for everything or a
 * collection; free with g_array_unref. */
bool app_ask_get_conversation_scope(AppLibrary *library, int64_t conversation, GArray **ret_documents, int64_t *ret_collection,
                                    GError **error);

G_END_DECLS

#endif
