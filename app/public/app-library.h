/* app-library.h: the library as everything above the store sees it: documents, sections, text, search, collections,
 * conversations.
 *
 * Owns: what is known about every document and where each character of it stands in its source.
 * Does not own: models and cached states (engine/), reading (app-reader.h), answering (app-ask.h). It includes neither
 * eng.h nor kern.h, so that ui/ can use it.
 *
 * Contract. An AppLibrary may be used by many threads, and several processes may open one folder (SQLite, WAL). Functions that can
 * fail return false, NULL or -1 and fill `error` (domain APP_LIBRARY_ERROR). Strings are UTF-8 and never NULL unless said.
 * Offsets: `start` and `end` are bytes of the document's normalised text (UTF-8, NFC, LF newlines); `char_` offsets are Unicode
 * characters of the same text; `source_` offsets are Unicode characters of the original file as decoded (a BOM counts none).
 * Ranges are half-open. Times are Unix seconds.
 */
#ifndef APP_LIBRARY_H
#define APP_LIBRARY_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

G_BEGIN_DECLS

#define APP_LIBRARY_ERROR (app_library_error_quark())
GQuark app_library_error_quark(void);
typedef enum AppLibraryError {
    APP_LIBRARY_ERROR_FAILED,    /* SQLite or the operating system refused; the message has its words */
    APP_LIBRARY_ERROR_NOT_FOUND, /* no such document, collection, conversation */
    APP_LIBRARY_ERROR_AMBIGUOUS, /* a reference fits several documents; the message lists some */
    APP_LIBRARY_ERROR_INVALID,   /* an argument or the input is not acceptable */
    APP_LIBRARY_ERROR_NO_SPACE,  /* the disk is full */
    APP_LIBRARY_ERROR_NEWER,     /* the library was written by a newer version of the application */
    APP_LIBRARY_ERROR_CANCELLED,
    APP_LIBRARY_ERROR_PASSWORD, /* a file is encrypted: it needs a password, or another than was given */
} AppLibraryError;

/* ------------------------------------------------------------------------------------------------------------ library */

typedef struct AppLibrary AppLibrary;

/* folder: NULL means app_paths_data(). Makes the folder (0700) and library.sqlite (0600), or migrates an older one. */
AppLibrary *app_library_open(const char *folder, GError **error);
AppLibrary *app_library_ref(AppLibrary *library);
void app_library_unref(AppLibrary *library); /* NULL is fine; the last one closes */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppLibrary, app_library_unref)
const char *app_library_get_folder(AppLibrary *library);
const char *app_library_get_cache_folder(AppLibrary *library); /* <folder>/cache: for eng_cache_open */

/* Called after each committed change made through this AppLibrary, on the thread that made it. document: 0 when more than one, or
 * none (collections, conversations), was touched. Cheap calls only; a window posts itself an idle source. */
typedef void (*AppLibraryChangedFn)(void *user, int64_t document);
unsigned app_library_add_watch(AppLibrary *library, AppLibraryChangedFn changed, void *user);
void app_library_remove_watch(AppLibrary *library, unsigned watch); /* no call is in progress after it returns */
/* Tells the watches (document 0) when another process, or another AppLibrary, has changed the library since the last call. To be called
 * when the journal's file has changed, and never on a thread that must not wait. */
void app_library_look_for_others(AppLibrary *library);
const char *app_library_get_journal(AppLibrary *library); /* the file that every change by anybody is first written to */

/* ---------------------------------------------------------------------------------------------------------- documents */

typedef enum AppDocumentState {
    APP_DOCUMENT_NEW = 0, /* text imported, nothing read */
    APP_DOCUMENT_QUEUED,
    APP_DOCUMENT_READING,
    APP_DOCUMENT_PAUSED, /* part of it is read; goes on at the next section */
    APP_DOCUMENT_READY,
    APP_DOCUMENT_FAILED,
    APP_DOCUMENT_NO_TEXT, /* a scan, an empty file: never "ready" */
} AppDocumentState;
const char *app_document_state_text(AppDocumentState state); /* "new", "queued", ... "no text" */

typedef struct AppDocument {
    int64_t id;   /* the number that people type */
    char uid[33]; /* random 128 bits in hex: the document's name in the cache (eng_store_open) */
    char *title, *author; /* author: "" when unknown */
    char *source;         /* absolute path of the file, "" for standard input */
    char source_hash[65]; /* SHA-256 of the source's bytes, hex */
    char *format;         /* "text", "markdown", "pdf", "epub", ... */
    char *language;       /* "" unknown */
    char *metadata;       /* JSON object: {"company": …, "period": …, "form": …}; "{}" when empty */
    uint64_t n_source_bytes;
    uint64_t n_bytes, n_chars; /* of the normalised text */
    uint32_t n_pages;          /* 0: no pages */
    int64_t added_s, updated_s;
    AppDocumentState state;
    char *note; /* why it failed, paused or has no text; "" */
    /* Of the latest sectioning (rule ""/NULL below), 0 before there is one. */
    uint32_t n_sections, n_sections_read;
    uint64_t n_tokens, n_tokens_read;
    char *model; /* the model that the latest reading was by, "" before */
} AppDocument;
void app_document_free(AppDocument *document);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppDocument, app_document_free)

AppDocument *app_library_get_document(AppLibrary *library, int64_t id, GError **error);
AppDocument *app_library_get_document_by_uid(AppLibrary *library, const char *uid, GError **error);

typedef enum AppDocumentOrder { APP_ORDER_ADDED = 0, APP_ORDER_TITLE, APP_ORDER_UPDATED } AppDocumentOrder;
/* Elements AppDocument*, freed with the array. collection: 0 means all. limit 0: no limit. */
GPtrArray *app_library_list_documents(AppLibrary *library, int64_t collection, AppDocumentOrder order, uint32_t offset, uint32_t limit,
                                      GError **error);
int64_t app_library_count_documents(AppLibrary *library, int64_t collection, GError **error); /* -1 on failure */
/* As if these documents were gone already. */
int64_t app_library_count_documents_without(AppLibrary *library, int64_t collection, const int64_t *gone, size_t n_gone, GError **error);

/* What a person typed: a number, a uid or its start (6 characters or more), a file's path, an exact title, or a part of exactly one
 * title (letter case ignored). Returns the id, or -1 (NOT_FOUND, AMBIGUOUS). */
int64_t app_library_resolve_document(AppLibrary *library, const char *reference, GError **error);
/* As above; a glob ("*2022*") over titles gives all that match. Elements int64_t; NULL on failure or when nothing fits. */
GArray *app_library_resolve_documents(AppLibrary *library, const char *reference, GError **error);

bool app_library_rename_document(AppLibrary *library, int64_t id, const char *title, GError **error);
bool app_library_set_document_state(AppLibrary *library, int64_t id, AppDocumentState state, const char *note, GError **error);
/* The document, its text, sections, passages and places in collections. Turns of conversations keep their quotations' text. Its
 * cached states are the caller's to remove (app_reader_forget or eng_cache_remove with the uid). */
bool app_library_remove_document(AppLibrary *library, int64_t id, GError **error);

/* Bytes [start, end) of the normalised text, cut at character borders, with a NUL behind; end may exceed the text.
 * Free with g_free. ret_n_bytes may be NULL. */
char *app_library_get_text(AppLibrary *library, int64_t id, uint64_t start, uint64_t end, size_t *ret_n_bytes, GError **error);

/* Finds `needle` verbatim in the text from `from` on, as normalised (NFC, LF). True: found or not, as *ret_found says. */
bool app_library_find_text(AppLibrary *library, int64_t id, const char *needle, uint64_t from, bool *ret_found, uint64_t *ret_start,
                           GError **error);

/* ------------------------------------------------------------------------------------------------ places in the source */

typedef struct AppBox { /* in PDF points from the page's top left */
    uint32_t page;      /* index, from 0 */
    float x0, y0, x1, y1;
} AppBox;

typedef struct AppPlace {
    uint64_t start, end;               /* as asked, cut at character borders */
    uint64_t char_start, char_end;
    uint64_t source_start, source_end; /* characters of the original file; of the item's text for EPUB; 0, 0 where n/a (PDF) */
    uint32_t page_first, page_last;    /* index from 0; UINT32_MAX: no pages */
    char *page_label;                  /* of page_first as printed: "iv", "27"; "" without pages */
    char *source_item;                 /* EPUB item, archive member; "" else */
    char *heading;                     /* heading path at start, "Title › Part › Chapter" */
    AppBox *boxes;                     /* n_boxes rectangles that cover the range */
    size_t n_boxes;
} AppPlace;
void app_place_free(AppPlace *place);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppPlace, app_place_free)
AppPlace *app_library_locate(AppLibrary *library, int64_t document, uint64_t start, uint64_t end, GError **error);

typedef struct AppPage {
    uint32_t index;
    char *label;
    uint64_t start, end;
    float width, height; /* points; 0: unknown */
} AppPage;
void app_page_free(AppPage *page);
GPtrArray *app_library_list_pages(AppLibrary *library, int64_t document, GError **error); /* AppPage* */

typedef struct AppHeading {
    uint32_t level; /* 1: topmost */
    char *text;
    uint64_t start;
} AppHeading;
void app_heading_free(AppHeading *heading);
GPtrArray *app_library_list_headings(AppLibrary *library, int64_t document, GError **error); /* AppHeading*, in text order */

/* -------------------------------------------------------------------------------------------------- reading positions */

typedef enum AppReadingView { APP_VIEW_TEXT = 0, APP_VIEW_PAGES } AppReadingView;

typedef struct AppReadingPosition {
    uint64_t start;  /* of the first line in sight */
    uint32_t page;   /* index of the first page in sight, UINT32_MAX: no pages */
    float page_y;    /* what of that page is above the window, 0 to 1 */
    AppReadingView view;
    float text_zoom; /* 1: the usual size */
    float page_zoom; /* 1: its natural size; 0: as wide as the window */
} AppReadingPosition;

/* Where the document was left. True with *ret_known false when it was never opened. */
bool app_library_get_reading_position(AppLibrary *library, int64_t document, bool *ret_known, AppReadingPosition *ret_position,
                                      GError **error);
/* Watchers are not told. Fails (NOT_FOUND) when the document is gone; with the document the position goes. */
bool app_library_set_reading_position(AppLibrary *library, int64_t document, const AppReadingPosition *position, GError **error);

/* ----------------------------------------------------------------------------------------------------------- sections */

/* How a text is cut depends on the tokenizer and the section length, so a document has one list of sections for each rule, a
 * short text (app_section_rule in app-sections.h makes it from a model). NULL: the document's latest. */
typedef struct AppSection {
    uint32_t ordinal; /* from 0 */
    char *head;       /* "Title › Part › Chapter": the head that the model sees */
    uint64_t start, end, char_start, char_end;
    uint32_t page_first, page_last; /* UINT32_MAX: no pages */
    uint32_t n_tokens;              /* with the leading <|endoftext|>, head and blank line */
    uint32_t n_head_tokens_hint;    /* tokens before the text's first, to within one (a token may span the border) */
    uint8_t ids_digest[32];         /* eng_ids_digest with no prefix */
    bool is_read;                   /* was in the cache when last read; the cache is the truth (it may be evicted) */
} AppSection;
void app_section_free(AppSection *section);
/* Elements AppSection*, in order; empty array when the document was never cut by this rule. */
GPtrArray *app_library_list_sections(AppLibrary *library, int64_t document, const char *rule, GError **error);
/* Token ids of one section exactly as read (n_tokens of them), so that asking tokenises no document. Free with g_free. */
uint32_t *app_library_get_section_ids(AppLibrary *library, int64_t document, const char *rule, uint32_t ordinal, uint32_t *ret_n_tokens,
                                      GError **error);

/* -------------------------------------------------------------------------------------------------------------- search */

typedef enum AppSearchMode {
    APP_SEARCH_ALL = 0, /* every word must occur in the passage (what people type); the last may be a beginning (`prefix`) */
    APP_SEARCH_ANY,     /* any word counts: questions, ranking; common words of the language are left out where others remain */
    APP_SEARCH_PHRASE,
} AppSearchMode;

typedef struct AppSearch {
    const char *words; /* as typed; nothing in it is query syntax, except that "…" keeps words together in ALL mode */
    AppSearchMode mode;
    bool prefix;
    int64_t collection;           /* 0: everything */
    const int64_t *documents;     /* NULL: everything (or the collection) */
    size_t n_documents;
    const char *rule;             /* for AppHit.section; NULL: each document's latest */
    uint32_t offset, limit;       /* limit 0: 50 */
    bool no_snippet;              /* ranking only: faster */
} AppSearch;

enum { APP_SNIPPET_OPEN = 0x02, APP_SNIPPET_CLOSE = 0x03 }; /* bytes around each matching word of a snippet */

typedef struct AppHit {
    int64_t document;
    char *title, *heading;    /* heading path of the passage */
    uint64_t start, end;      /* the passage: about a paragraph */
    uint64_t char_start, char_end;
    uint64_t match_start, match_end; /* first matching word, in bytes of the text; with no_snippet: the passage */
    uint32_t page;            /* UINT32_MAX: no pages */
    char *page_label;         /* "" */
    int64_t section;          /* ordinal of the section that holds the passage's start, -1: not cut yet */
    double score;             /* BM25, higher is better */
    char *snippet;            /* "" with no_snippet */
    char *value, *column;     /* app_library_find_values: the cell and the head above it; NULL else */
} AppHit;
void app_hit_free(AppHit *hit);
GPtrArray *app_library_search(AppLibrary *library, const AppSearch *search, GError **error); /* AppHit*, best first */

/* Cells of tables that `words`, a question, ask for by row, column, company and year: AppHit* with `value` and `column`, best first; the
 * passage is the row, the match is the cell. Empty when no row fits well. Of `search`, words, collection, documents and limit count.
 * No model: rows are found by their words, columns by the year above them. */
GPtrArray *app_library_find_values(AppLibrary *library, const AppSearch *search, GError **error);

/* Sections by the best of their passages' BM25 and the sum of the others', for choosing what a question attends to. */
typedef struct AppSectionScore {
    int64_t document;
    uint32_t section;
    double score; /* higher is better */
} AppSectionScore;
GArray *app_library_rank_sections(AppLibrary *library, const AppSearch *search, GError **error); /* AppSectionScore, best first */

/* --------------------------------------------------------------------------------------------------------- collections */

typedef struct AppCollection {
    int64_t id;
    char *name;
    uint32_t n_documents;
    uint64_t n_tokens;
} AppCollection;
void app_collection_free(AppCollection *collection);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppCollection, app_collection_free)
GPtrArray *app_library_list_collections(AppLibrary *library, GError **error); /* AppCollection*, by name */
/* Counted as if these documents were gone already. */
GPtrArray *app_library_list_collections_without(AppLibrary *library, const int64_t *gone, size_t n_gone, GError **error);
int64_t app_library_add_collection(AppLibrary *library, const char *name, GError **error); /* the id, also when it exists; -1 */
int64_t app_library_resolve_collection(AppLibrary *library, const char *name, GError **error); /* name (case ignored) or number; -1 */
bool app_library_rename_collection(AppLibrary *library, int64_t id, const char *name, GError **error);
bool app_library_remove_collection(AppLibrary *library, int64_t id, GError **error); /* documents stay */
bool app_library_collection_add(AppLibrary *library, int64_t id, int64_t document, GError **error);
bool app_library_collection_remove(AppLibrary *library, int64_t id, int64_t document, GError **error);
GPtrArray *app_library_list_collections_of(AppLibrary *library, int64_t document, GError **error); /* AppCollection* */

/* ------------------------------------------------------------------------------------------------------- conversations */

typedef struct AppConversation {
    int64_t id;
    char *title; /* the first question, shortened, until renamed */
    char *scope; /* JSON by the asking side: which documents or collection */
    int64_t created_s, updated_s;
    uint32_t n_turns;
} AppConversation;
void app_conversation_free(AppConversation *conversation);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppConversation, app_conversation_free)

typedef struct AppQuotation {
    int64_t document; /* 0 once the document was removed */
    char *document_title;
    int64_t section;  /* ordinal, -1 unknown */
    char *text;
    uint64_t start, end, char_start, char_end;
    uint32_t page;    /* UINT32_MAX: none */
    char *page_label;
    bool verified;    /* stands verbatim at that place */
} AppQuotation;
void app_quotation_clear(AppQuotation *quotation); /* frees what it holds */

typedef struct AppTurn {
    int64_t id;
    char *question, *answer, *model;
    bool found;
    AppQuotation *quotations; /* owned */
    size_t n_quotations;
    char *stats; /* JSON: tokens, times, attention mass by section */
    int64_t created_s;
} AppTurn;
void app_turn_free(AppTurn *turn);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppTurn, app_turn_free)

int64_t app_library_add_conversation(AppLibrary *library, const char *title, const char *scope, GError **error);
GPtrArray *app_library_list_conversations(AppLibrary *library, uint32_t limit, GError **error); /* AppConversation*, newest first */
AppConversation *app_library_get_conversation(AppLibrary *library, int64_t id, GError **error);
/* A number, an exact title (letter case ignored; the latest of several), or a part of exactly one title; -1 (NOT_FOUND, AMBIGUOUS). */
int64_t app_library_resolve_conversation(AppLibrary *library, const char *reference, GError **error);
bool app_library_rename_conversation(AppLibrary *library, int64_t id, const char *title, GError **error);
bool app_library_remove_conversation(AppLibrary *library, int64_t id, GError **error);
/* Stores a turn (its id and created_s are ignored) and returns its id. */
int64_t app_library_add_turn(AppLibrary *library, int64_t conversation, const AppTurn *turn, GError **error);
GPtrArray *app_library_list_turns(AppLibrary *library, int64_t conversation, GError **error); /* AppTurn*, oldest first */

/* Words found in a conversation: in its title (turn 0) or in one turn's question, answer or quotations. */
typedef struct AppConversationHit {
    int64_t conversation, turn;
    char *title;    /* of the conversation */
    char *question; /* of the turn; "" for a title */
    char *snippet;  /* of the part that matches best, with APP_SNIPPET_OPEN and _CLOSE around matching words */
    int64_t created_s;
} AppConversationHit;
void app_conversation_hit_free(AppConversationHit *hit);
/* All words must occur in one turn or in one title; "…" keeps words together; prefix: the last may be a beginning. limit 0: 50.
 * AppConversationHit*: titles first, then turns, best first. */
GPtrArray *app_library_search_conversations(AppLibrary *library, const char *words, bool prefix, uint32_t limit, GError **error);

/* A conversation as Markdown (CommonMark): questions as headings, answers, each quotation with its document, page and whether it was
 * verified. What users and documents wrote is escaped where it would read as markup; a chat model's answer stays as it is, it may be
 * Markdown itself. Free with g_free; NULL on failure. */
char *app_conversation_to_markdown(AppLibrary *library, int64_t conversation, GError **error);

G_END_DECLS

#endif
