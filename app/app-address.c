/* app-address.c: see app-address.h. */
#include "app-address.h"

#include <glib/gi18n.h>
#include <gio/gio.h>
#include <string.h>

enum { ADDRESS_BYTES_MAX = 8192 };

void app_address_clear(AppAddress *address)
{
    g_free(address->text);
    g_free(address->host);
    g_free(address->origin);
    *address = (AppAddress){0};
}

/* ----------------------------------------------------------------------------------------------------------------- reach */

static AppAddressReach reach_of_inet(GInetAddress *inet)
{
    if (g_inet_address_get_is_loopback(inet)) return APP_ADDRESS_LOOPBACK;
    const guint8 *bytes = g_inet_address_to_bytes(inet);
    bool unique_local = g_inet_address_get_family(inet) == G_SOCKET_FAMILY_IPV6 && (bytes[0] & 0xfe) == 0xfc; /* RFC 4193 */
    return unique_local || g_inet_address_get_is_site_local(inet) || g_inet_address_get_is_link_local(inet) ? APP_ADDRESS_PRIVATE
                                                                                                             : APP_ADDRESS_PUBLIC;
}

/* A last label that is a number: resolvers read "127.1", "0x7f.1" and "2130706433" as addresses, in ways that differ. */
static bool is_odd_number(const char *host)
{
    const char *dot = strrchr(host, '.');
    const char *label = dot != NULL ? dot + 1 : host;
    if (label[0] == '\0') return true;
    bool hexadecimal = label[0] == '0' && (label[1] == 'x' || label[1] == 'X');
    return hexadecimal || label[strspn(label, "0123456789")] == '\0';
}

static bool find_reach(const char *host, AppAddressReach *ret_reach)
{
    g_autoptr(GInetAddress) inet = g_inet_address_new_from_string(host);
    if (inet != NULL) {
        *ret_reach = reach_of_inet(inet);
        return true;
    }
    if (is_odd_number(host)) return false;
    if (strcmp(host, "localhost") == 0)
        *ret_reach = APP_ADDRESS_LOOPBACK;
    else if (strchr(host, '.') == NULL || g_str_has_suffix(host, ".local") || g_str_has_suffix(host, ".lan") ||
             g_str_has_suffix(host, ".internal") || g_str_has_suffix(host, ".home.arpa"))
        *ret_reach = APP_ADDRESS_PRIVATE;
    else
        *ret_reach = APP_ADDRESS_PUBLIC;
    return true;
}

/* --------------------------------------------------------------------------------------------------------------- parsing */

static const char *find_odd(const char *text)
{
    size_t n = strlen(text);
    if (n == 0) return _("is empty");
    if (n > ADDRESS_BYTES_MAX) return _("is too long");
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f || text[i] == '\\')
            return _("holds spaces or characters that an address cannot have");
    return NULL;
}

static const char *find_fault(GUri *uri, bool encrypted, AppAddressReach least, bool with_query, AppAddressReach *ret_reach)
{
    const char *host = g_uri_get_host(uri);
    if (host == NULL || host[0] == '\0') return _("names no machine");
    if (host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:")] != '\0')
        return _("names no machine"); /* curl is given the text: what it could read in another way is refused */
    if (g_uri_get_userinfo(uri) != NULL) return _("holds a user's name or password; a key has a setting of its own");
    if (g_uri_get_fragment(uri) != NULL) return _("holds a “#”");
    if (!with_query && g_uri_get_query(uri) != NULL) return _("holds a “?”");
    if (!find_reach(host, ret_reach)) return _("names a machine by an odd number");
    if (!encrypted && *ret_reach < least)
        return least == APP_ADDRESS_LOOPBACK ? _("is not encrypted (http) and does not point to this machine: https is needed")
                                             : _("is not encrypted (http) and points outside your own network: https is needed");
    return NULL;
}

bool app_address_parse(const char *text, AppAddressReach least, bool with_query, AppAddress *ret_address, const char **ret_reason)
{
    const char *reason = find_odd(text);
    g_autoptr(GUri) uri = reason == NULL ? g_uri_parse(text, G_URI_FLAGS_ENCODED, NULL) : NULL;
    if (reason == NULL && uri == NULL) reason = _("is not of the form https://machine/path");
    bool encrypted = uri != NULL && strcmp(g_uri_get_scheme(uri), "https") == 0;
    if (uri != NULL && !encrypted && strcmp(g_uri_get_scheme(uri), "http") != 0) reason = _("begins with neither https:// nor http://");
    AppAddressReach reach = APP_ADDRESS_PUBLIC;
    if (reason == NULL) reason = find_fault(uri, encrypted, least, with_query, &reach);
    if (reason != NULL) {
        if (ret_reason != NULL) *ret_reason = reason;
        return false;
    }
    int port = g_uri_get_port(uri) > 0 ? g_uri_get_port(uri) : encrypted ? 443 : 80;
    AppAddress address = {.host = g_ascii_strdown(g_uri_get_host(uri), -1), .encrypted = encrypted, .reach = reach};
    bool v6 = strchr(address.host, ':') != NULL;
    address.origin = g_strdup_printf("%s://%s%s%s:%d", encrypted ? "https" : "http", v6 ? "[" : "", address.host, v6 ? "]" : "", port);
    address.text = g_strdup(text);
    for (size_t n = strlen(address.text); !with_query && n > 0 && address.text[n - 1] == '/'; n--) address.text[n - 1] = '\0';
    *ret_address = address;
    return true;
}
