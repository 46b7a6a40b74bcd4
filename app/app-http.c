/* app-http.c: see app-http.h. */
#include "app-http.h"

#include <curl/curl.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "app-config.h"

G_DEFINE_QUARK(app-http-error-quark, app_http_error)

enum {
    CONNECT_S_MAX = 20,
    POLL_MS = 100,
    PROBLEM_BYTES_MAX = 16384, /* of an error's body, looked at */
    PROBLEM_CHARS_MAX = 200,   /* of it, shown */
};

struct AppHttp {
    CURLM *multi;
    CURL *easy; /* kept, and with it its connections */
    char *proxy;
    unsigned stall_s;
};

/* One request to one address. */
typedef struct Transfer {
    AppHttp *http;
    const AppHttpRequest *request;
    AppHttpReply *reply;
    const AppAddress *address;
    GString *problem;
    uint64_t n_received;
    int64_t begun_us;
    bool began; /* on_reply was called */
    GError *error;
} Transfer;

/* ------------------------------------------------------------------------------------------------------------- lifetime */

AppHttp *app_http_new(const char *proxy, unsigned stall_s)
{
    static gsize once;
    if (g_once_init_enter(&once)) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        g_once_init_leave(&once, 1);
    }
    AppHttp *http = g_new0(AppHttp, 1);
    http->multi = curl_multi_init();
    http->easy = curl_easy_init();
    if (http->multi == NULL || http->easy == NULL) g_error("libcurl: out of memory"); /* as GLib does when it cannot allocate */
    http->proxy = g_strdup(proxy != NULL ? proxy : "");
    http->stall_s = stall_s;
    return http;
}

void app_http_free(AppHttp *http)
{
    if (http == NULL) return;
    curl_easy_cleanup(http->easy);
    curl_multi_cleanup(http->multi);
    g_free(http->proxy);
    g_free(http);
}

void app_http_reply_clear(AppHttpReply *reply)
{
    g_free(reply->etag);
    g_free(reply->content_range);
    g_free(reply->next_url);
    g_free(reply->linked_etag);
    g_free(reply->problem);
    g_free(reply->host);
    *reply = (AppHttpReply){.n_bytes = -1, .retry_after_s = -1};
}

/* --------------------------------------------------------------------------------------------------------- reply headers */

/* The last reply's header, made printable; NULL: none. */
static char *get_header(CURL *easy, const char *name)
{
    struct curl_header *header = NULL;
    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK) return NULL;
    for (const char *at = header->value; *at != '\0'; at++)
        if (!g_ascii_isprint(*at)) return NULL;
    return g_strdup(header->value);
}

/* The target of rel="next" (RFC 8288). */
static char *next_of(const char *link)
{
    const char *rel = link != NULL ? strstr(link, "rel=\"next\"") : NULL;
    if (rel == NULL) return NULL;
    const char *close = g_strrstr_len(link, rel - link, ">"), *open = close != NULL ? g_strrstr_len(link, close - link, "<") : NULL;
    return open != NULL ? g_strndup(open + 1, (size_t)(close - open - 1)) : NULL;
}

static int64_t seconds_of(const char *retry_after)
{
    guint64 seconds = 0;
    if (retry_after == NULL) return -1;
    if (g_ascii_string_to_unsigned(retry_after, 10, 0, 86400 * 7, &seconds, NULL)) return (int64_t)seconds;
    time_t at = curl_getdate(retry_after, NULL);
    int64_t now = g_get_real_time() / G_USEC_PER_SEC;
    return at < 0 ? -1 : MAX((int64_t)at - now, 0);
}

static char *strip_etag(char *etag)
{
    if (etag == NULL) return NULL;
    size_t n = strlen(etag);
    char *bare = n >= 2 && etag[0] == '"' && etag[n - 1] == '"' ? g_strndup(etag + 1, n - 2) : g_strdup(etag);
    g_free(etag);
    return bare;
}

static void take_headers(Transfer *transfer)
{
    CURL *easy = transfer->http->easy;
    AppHttpReply *reply = transfer->reply;
    char *linked = strip_etag(get_header(easy, "X-Linked-Etag"));
    if (linked == NULL) linked = g_steal_pointer(&reply->linked_etag); /* of a reply that led here */
    app_http_reply_clear(reply);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &reply->status);
    curl_off_t n_bytes = -1;
    curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &n_bytes);
    reply->n_bytes = n_bytes;
    reply->linked_etag = linked;
    reply->etag = get_header(easy, "ETag");
    reply->content_range = get_header(easy, "Content-Range");
    g_autofree char *link = get_header(easy, "Link"), *retry = get_header(easy, "Retry-After"), *encoding = get_header(easy, "Content-Encoding");
    reply->next_url = next_of(link);
    reply->retry_after_s = seconds_of(retry);
    reply->encoded = encoding != NULL && g_ascii_strcasecmp(encoding, "identity") != 0;
    reply->host = g_strdup(transfer->address->host);
}

/* {"error": "..."}, {"error": {"message": "..."}}, {"message": "..."}, else plain text; HTML says nothing to people. */
static char *problem_text(const GString *body)
{
    json_t *root = json_loadb(body->str, body->len, JSON_REJECT_DUPLICATES, NULL);
    json_t *error = json_object_get(root, "error");
    const char *text = json_is_object(error)   ? json_string_value(json_object_get(error, "message"))
                       : json_is_string(error) ? json_string_value(error)
                                               : json_string_value(json_object_get(root, "message"));
    if (root == NULL && body->len > 0 && body->str[0] != '<' && body->str[0] != '{') text = body->str;
    g_autofree char *valid = g_utf8_make_valid(text != NULL ? text : "", -1);
    json_decref(root);
    GString *line = g_string_new(NULL);
    size_t n = 0;
    for (const char *at = g_strstrip(valid); *at != '\0' && n < PROBLEM_CHARS_MAX; at = g_utf8_next_char(at), n++) {
        gunichar c = g_utf8_get_char(at);
        g_string_append_unichar(line, g_unichar_isprint(c) ? c : ' ');
    }
    if (line->len > 0) return g_string_free(line, FALSE);
    g_string_free(line, TRUE);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------------ body */

static bool is_success(long status) { return status >= 200 && status < 300; }

static bool begin_body(Transfer *transfer)
{
    if (transfer->began) return true;
    transfer->began = true;
    take_headers(transfer);
    const AppHttpRequest *request = transfer->request;
    return !is_success(transfer->reply->status) || request->on_reply == NULL ||
           request->on_reply(request->user, transfer->reply, &transfer->error);
}

static size_t take_body(char *bytes, size_t size, size_t count, void *user)
{
    Transfer *transfer = user;
    size_t n = size * count;
    if (!begin_body(transfer)) return 0;
    transfer->n_received += n;
    if (!is_success(transfer->reply->status)) {
        if (transfer->n_received > PROBLEM_BYTES_MAX) return 0; /* enough was seen */
        g_string_append_len(transfer->problem, bytes, (gssize)n);
        return n;
    }
    if (transfer->n_received > transfer->request->n_body_bytes_max) {
        g_set_error(&transfer->error, APP_HTTP_ERROR, APP_HTTP_ERROR_LIMIT, _("%s sends more than the %" PRIu64 " bytes allowed here"),
                    transfer->address->host, transfer->request->n_body_bytes_max);
        return 0;
    }
    const AppHttpRequest *request = transfer->request;
    return request->on_body == NULL || request->on_body(request->user, bytes, n, &transfer->error) ? n : 0;
}

/* -------------------------------------------------------------------------------------------------------------- transfer */

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    g_autofree char *line = g_strdup_printf("%s: %s", name, value);
    return curl_slist_append(list, line);
}

static struct curl_slist *make_headers(const Transfer *transfer, bool is_first_origin)
{
    const AppHttpRequest *request = transfer->request;
    struct curl_slist *list = add_header(NULL, "Accept", request->accept != NULL ? request->accept : "*/*");
    if (request->bearer != NULL && request->bearer[0] != '\0' && is_first_origin) {
        g_autofree char *bearer = g_strconcat("Bearer ", request->bearer, NULL);
        list = add_header(list, "Authorization", bearer);
    }
    if (request->json_body != NULL) list = curl_slist_append(add_header(list, "Content-Type", "application/json"), "Expect:");
    list = add_header(list, "Accept-Encoding", "identity");
    if (request->range_start > 0 && request->if_range != NULL) list = add_header(list, "If-Range", request->if_range);
    return list;
}

static void set_options(Transfer *transfer, struct curl_slist *headers, char *message)
{
    CURL *easy = transfer->http->easy;
    const AppHttpRequest *request = transfer->request;
    const AppAddress *address = transfer->address;
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, address->text);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "Lectern/" LECTERN_VERSION);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)MIN(transfer->http->stall_s, (unsigned)CONNECT_S_MAX));
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)transfer->http->stall_s);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    /* Certificates of one's own company, as OpenSSL's programs take them; libcurl by itself does not look there. */
    const char *cert_file = g_getenv("SSL_CERT_FILE"), *cert_folder = g_getenv("SSL_CERT_DIR");
    if (cert_file != NULL && cert_file[0] != '\0') curl_easy_setopt(easy, CURLOPT_CAINFO, cert_file);
    if (cert_folder != NULL && cert_folder[0] != '\0') curl_easy_setopt(easy, CURLOPT_CAPATH, cert_folder);
    if (address->reach == APP_ADDRESS_LOOPBACK)
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    else if (transfer->http->proxy[0] != '\0')
        curl_easy_setopt(easy, CURLOPT_PROXY, transfer->http->proxy);
    if (request->json_body != NULL) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(request->json_body));
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->json_body);
    }
    if (request->range_start > 0) {
        g_autofree char *range = g_strdup_printf("%" G_GUINT64_FORMAT "-", request->range_start);
        curl_easy_setopt(easy, CURLOPT_RANGE, range);
    }
}

static bool is_cancelled(const bool *cancel, GError **error)
{
    if (cancel == NULL || !__atomic_load_n(cancel, __ATOMIC_RELAXED)) return false;
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _("stopped"));
    return true;
}

/* Until the transfer is done; false: transfer->error says why it was given up. */
static bool drive(Transfer *transfer, CURLcode *ret_code)
{
    CURLM *multi = transfer->http->multi;
    int n_running = 1;
    while (n_running > 0) {
        if (is_cancelled(transfer->request->cancel, &transfer->error)) return false;
        int64_t seconds = (g_get_monotonic_time() - transfer->begun_us) / G_USEC_PER_SEC;
        if (transfer->request->total_s_max > 0 && seconds > transfer->request->total_s_max) {
            g_set_error(&transfer->error, APP_HTTP_ERROR, APP_HTTP_ERROR_LIMIT, _("%s took longer than the %" PRId64 " s allowed"),
                        transfer->address->host, transfer->request->total_s_max);
            return false;
        }
        if (curl_multi_perform(multi, &n_running) != CURLM_OK || (n_running > 0 && curl_multi_poll(multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)) {
            g_set_error_literal(&transfer->error, APP_HTTP_ERROR, APP_HTTP_ERROR_FAILED, _("libcurl refused to go on"));
            return false;
        }
    }
    int n_left;
    for (CURLMsg *message; (message = curl_multi_info_read(multi, &n_left)) != NULL;)
        if (message->msg == CURLMSG_DONE) *ret_code = message->data.result;
    return true;
}

static void set_connection_error(const Transfer *transfer, CURLcode code, const char *message, GError **error)
{
    const char *host = transfer->address->host, *detail = message[0] != '\0' ? message : curl_easy_strerror(code);
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        g_set_error(error, APP_HTTP_ERROR, APP_HTTP_ERROR_OFFLINE,
                    _("“%s” cannot be found: this machine is offline, or the name is wrong"), code == CURLE_COULDNT_RESOLVE_PROXY ? _("the proxy") : host);
        return;
    case CURLE_COULDNT_CONNECT:
        g_set_error(error, APP_HTTP_ERROR, APP_HTTP_ERROR_OFFLINE, _("%s does not answer: this machine is offline, or nothing runs there (%s)"), host,
                    detail);
        return;
    case CURLE_OPERATION_TIMEDOUT:
        g_set_error(error, APP_HTTP_ERROR, APP_HTTP_ERROR_STALLED, _("%s sent nothing for %u s"), host, transfer->http->stall_s);
        return;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        g_set_error(error, APP_HTTP_ERROR, APP_HTTP_ERROR_CUT, _("the connection to %s was cut (%s)"), host, detail);
        return;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
        g_set_error(error, APP_HTTP_ERROR, APP_HTTP_ERROR_REFUSED, _("%s does not show a certificate that this machine trusts (%s)"), host, detail);
        return;
    default:
        g_set_error(error, APP_HTTP_ERROR, APP_HTTP_ERROR_FAILED, "%s: %s", host, detail);
    }
}

static bool run_transfer(Transfer *transfer, bool is_first_origin, GError **error)
{
    char message[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = make_headers(transfer, is_first_origin);
    set_options(transfer, headers, message);
    CURLcode code = CURLE_FAILED_INIT;
    curl_multi_add_handle(transfer->http->multi, transfer->http->easy);
    bool driven = drive(transfer, &code);
    bool shut = driven && code == CURLE_WRITE_ERROR && transfer->error == NULL; /* an error's long body, of which enough was seen */
    if (driven && (code == CURLE_OK || shut) && transfer->error == NULL) driven = begin_body(transfer);
    curl_multi_remove_handle(transfer->http->multi, transfer->http->easy);
    curl_slist_free_all(headers);
    if (transfer->error != NULL) {
        g_propagate_error(error, g_steal_pointer(&transfer->error));
        return false;
    }
    if (!driven || (code != CURLE_OK && !shut)) {
        set_connection_error(transfer, code, message, error);
        return false;
    }
    if (transfer->reply->status >= 400) transfer->reply->problem = problem_text(transfer->problem);
    return true;
}

/* ------------------------------------------------------------------------------------------------------------- redirects */

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* The address that the last reply leads to. */
static bool follow(AppHttp *http, const AppHttpRequest *request, unsigned n_followed, const AppAddress *first, AppAddress *address, GError **error)
{
    char *target = NULL;
    const char *reason = NULL;
    AppAddress next = {0};
    curl_easy_getinfo(http->easy, CURLINFO_REDIRECT_URL, &target);
    if (request->n_redirects_max == 0)
        reason = _("leads elsewhere, which is not followed here");
    else if (n_followed >= request->n_redirects_max)
        reason = _("leads around in circles");
    else if (target == NULL)
        reason = _("leads nowhere");
    else if (app_address_parse(target, request->least_plain, true, &next, &reason)) {
        if (!next.encrypted && address->encrypted)
            reason = _("leads from https to http");
        else if (next.reach > first->reach)
            reason = _("leads from outside into your own network");
    }
    if (reason == NULL) {
        app_address_clear(address);
        *address = next;
        return true;
    }
    g_autofree char *shown = g_strndup(target != NULL ? target : "", 120);
    if (shown[0] != '\0')
        g_set_error(error, APP_HTTP_ERROR, APP_HTTP_ERROR_REFUSED, _("%s redirects to %s; that is refused: the address %s"), address->host, shown, reason);
    else
        g_set_error(error, APP_HTTP_ERROR, APP_HTTP_ERROR_REFUSED, _("%s redirects; that is refused: the address %s"), address->host, reason);
    app_address_clear(&next);
    return false;
}

bool app_http_fetch(AppHttp *http, const AppHttpRequest *request, AppHttpReply *ret_reply, GError **error)
{
    g_auto(AppAddress) first = {0}, address = {0};
    g_auto(AppHttpReply) reply = {.n_bytes = -1, .retry_after_s = -1};
    const char *reason = NULL;
    if (!app_address_parse(request->url, request->least_plain, true, &first, &reason) ||
        !app_address_parse(request->url, request->least_plain, true, &address, &reason)) {
        g_set_error(error, APP_HTTP_ERROR, APP_HTTP_ERROR_REFUSED, _("the address “%.200s” %s"), request->url, reason);
        return false;
    }
    for (unsigned n_followed = 0;; n_followed++) {
        g_autoptr(GString) problem = g_string_new(NULL);
        Transfer transfer = {.http = http, .request = request, .reply = &reply, .address = &address, .problem = problem,
                             .begun_us = g_get_monotonic_time()};
        if (!run_transfer(&transfer, strcmp(first.origin, address.origin) == 0, error)) return false;
        if (!is_redirect(reply.status)) break;
        if (!follow(http, request, n_followed, &first, &address, error)) return false;
    }
    *ret_reply = reply;
    reply = (AppHttpReply){0};
    return true;
}

/* ------------------------------------------------------------------------------------------------------------------ text */

static bool append_text(void *user, const char *bytes, size_t n, GError **error)
{
    g_string_append_len(user, bytes, (gssize)n);
    return true;
}

bool app_http_fetch_text(AppHttp *http, const AppHttpRequest *request, AppHttpReply *ret_reply, char **ret_text, size_t *ret_n, GError **error)
{
    GString *text = g_string_new(NULL);
    AppHttpRequest whole = *request;
    whole.on_reply = NULL;
    whole.on_body = append_text;
    whole.user = text;
    bool good = app_http_fetch(http, &whole, ret_reply, error);
    if (good) {
        *ret_n = text->len;
        *ret_text = g_string_free(text, FALSE);
    } else {
        g_string_free(text, TRUE);
    }
    return good;
}

bool app_http_has_certificates(void)
{
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    const char *const places[] = {g_getenv("SSL_CERT_FILE"), g_getenv("SSL_CERT_DIR"), info->cainfo, info->capath};
    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        if (places[i] == NULL || places[i][0] == '\0') continue;
        GDir *dir = g_dir_open(places[i], 0, NULL);
        bool found = dir != NULL ? g_dir_read_name(dir) != NULL : g_file_test(places[i], G_FILE_TEST_IS_REGULAR);
        if (dir != NULL) g_dir_close(dir);
        if (found) return true;
    }
    return false;
}

bool app_http_wait(int64_t ms, const bool *cancel, GError **error)
{
    int64_t until = g_get_monotonic_time() + ms * 1000;
    for (int64_t left; (left = until - g_get_monotonic_time()) > 0;) {
        if (is_cancelled(cancel, error)) return false;
        g_usleep((gulong)MIN(left, POLL_MS * 1000));
    }
    return !is_cancelled(cancel, error);
}
