/* app-address.h: web addresses as people type them and as servers send them (private to app/).
 *
 * Owns: taking an http or https address apart, what network it points to, whether it may be used unencrypted.
 * Does not own: connecting (app-http.h). No name is ever resolved here.
 */
#ifndef APP_ADDRESS_H
#define APP_ADDRESS_H

#include <glib.h>
#include <stdbool.h>

G_BEGIN_DECLS

typedef enum AppAddressReach {
    APP_ADDRESS_PUBLIC = 0, /* anywhere */
    APP_ADDRESS_PRIVATE,    /* by its form in a home's or a company's own network: private ranges, names without a dot, .local */
    APP_ADDRESS_LOOPBACK,   /* this machine: localhost, 127.0.0.0/8, ::1 */
} AppAddressReach;

typedef struct AppAddress {
    char *text;   /* normalised, without a slash at its end */
    char *host;   /* lower case */
    char *origin; /* scheme://host:port, the port always there: two addresses of one origin go to one server */
    bool encrypted;
    AppAddressReach reach;
} AppAddress;
void app_address_clear(AppAddress *address);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AppAddress, app_address_clear)

/* least: unencrypted addresses must point at least so near. with_query: a query is allowed (an address that a server sent). A user's
 * name, a fragment, spaces and control characters never are. False: *ret_reason says why, in words that go on "…, as it "; constant. */
bool app_address_parse(const char *text, AppAddressReach least, bool with_query, AppAddress *ret_address, const char **ret_reason);

G_END_DECLS

#endif
