/* app-http.h: requests over HTTP, for downloads and the second machine (private to app/; the only header beside libcurl's users).
 *
 * Owns: libcurl, connections, time limits, redirects, proxies, what a failed connection means in words.
 * Does not own: what is asked of which server, and whether to ask at all: nothing here runs unless a download or a remote question was
 *               asked for.
 *
 * Contract. An AppHttp is used by one thread at a time and blocks; a cancel flag that another thread sets ends it within 0.2 s.
 * Certificates are always checked. Addresses are https, or http where the request says how near they must be. A redirect never leads
 * from https to http, nor from further away to nearer (to this machine from outside); the bearer token goes to the first address's
 * origin alone. Source: RFC 9110 (semantics), RFC 6750 (bearer tokens).
 */
#ifndef APP_HTTP_H
#define APP_HTTP_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app-address.h"

G_BEGIN_DECLS

#define APP_HTTP_ERROR (app_http_error_quark())
GQuark app_http_error_quark(void);
typedef enum AppHttpError {
    APP_HTTP_ERROR_FAILED,
    APP_HTTP_ERROR_OFFLINE,  /* no name, no route, nobody answers */
    APP_HTTP_ERROR_CUT,      /* ended before its end */
    APP_HTTP_ERROR_STALLED,  /* no byte for the time allowed */
    APP_HTTP_ERROR_REFUSED,  /* an address or a redirect that is not followed, a certificate that is not right */
    APP_HTTP_ERROR_LIMIT,    /* more bytes than allowed */
} AppHttpError; /* a stopped request is G_IO_ERROR_CANCELLED */

typedef struct AppHttpReply {
    long status;
    int64_t n_bytes;        /* of the body as announced; -1: not */
    char *etag;             /* as sent, with its quotes; NULL: none */
    char *content_range;    /* NULL: none */
    char *next_url;         /* of the Link header with rel="next"; NULL: none */
    char *linked_etag;      /* X-Linked-Etag of this or a redirecting reply, without quotes: a large file's SHA-256; NULL: none */
    int64_t retry_after_s;  /* -1: none */
    bool encoded;           /* the body is compressed although nobody asked for it */
    char *problem;          /* status 400 and up: what the server says about it, one printable line; NULL: nothing */
    char *host;             /* who answered at last */
} AppHttpReply;
void app_http_reply_clear(AppHttpReply *reply);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AppHttpReply, app_http_reply_clear)

typedef struct AppHttpRequest {
    const char *url;
    const char *bearer;       /* NULL: none */
    const char *accept;       /* NULL: anything */
    const char *json_body;    /* NULL: GET, else POST */
    uint64_t range_start;     /* 0: the whole */
    const char *if_range;     /* with range_start: a strong ETag; NULL: none */
    AppAddressReach least_plain; /* how near an http address must be */
    unsigned n_redirects_max;
    uint64_t n_body_bytes_max;
    int64_t total_s_max;      /* 0: as long as bytes come */
    /* Status 200 to 299 only: before the first byte, and for each piece. False ends the request with *error. */
    bool (*on_reply)(void *user, const AppHttpReply *reply, GError **error);
    bool (*on_body)(void *user, const char *bytes, size_t n, GError **error);
    void *user;
    const bool *cancel;
} AppHttpRequest;

typedef struct AppHttp AppHttp;
/* proxy: NULL or "": as the environment says. stall_s: seconds without a byte. */
AppHttp *app_http_new(const char *proxy, unsigned stall_s);
void app_http_free(AppHttp *http); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AppHttp, app_http_free)

/* True when a reply came to its end, whatever its status. */
bool app_http_fetch(AppHttp *http, const AppHttpRequest *request, AppHttpReply *ret_reply, GError **error);

/* The same with the body of a 2xx reply as text (g_free; a NUL byte at its end); request->on_body and on_reply are not used. */
bool app_http_fetch_text(AppHttp *http, const AppHttpRequest *request, AppHttpReply *ret_reply, char **ret_text, size_t *ret_n, GError **error);

/* Whether this machine has certificates to check others' with: SSL_CERT_FILE, SSL_CERT_DIR, else where libcurl looks. */
bool app_http_has_certificates(void);

/* Waits; false: cancelled. */
bool app_http_wait(int64_t ms, const bool *cancel, GError **error);

G_END_DECLS

#endif
