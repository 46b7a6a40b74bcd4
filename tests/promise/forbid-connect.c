/* forbid-connect.c: runs a program that is killed, it or any process it starts, at the first call that reaches for the network: connect, bind,
 * listen, accept, or a socket of another family than the local one.
 *
 *   forbid-connect [--desktop] PROGRAM ARGUMENT...
 *
 * --desktop: a window talks to the display and the session's bus, over local sockets. It may connect those; as it gets no socket of another
 * family, and none is handed to it, it reaches nothing else.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static const int calls[] = {SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4)};
    bool is_desktop = argc > 1 && strcmp(argv[1], "--desktop") == 0;
    char **program = argv + 1 + is_desktop;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int result = argc > 1 + is_desktop && filter ? 0 : -EINVAL;
    for (size_t i = 0; result == 0 && !is_desktop && i < sizeof calls / sizeof *calls; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, calls[i], 0);
    if (result == 0) result = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX));
    if (result == 0) result = seccomp_load(filter);
    if (result != 0) {
        fprintf(stderr, "forbid-connect: %s\n", strerror(-result));
        return 99;
    }
    seccomp_release(filter);
    execv(program[0], program);
    fprintf(stderr, "forbid-connect: %s: %s\n", program[0], strerror(errno));
    return 99;
}
