/* forbid-connect.c: runs a program that is killed, it or any process it starts, at the first call that reaches for the network: connect, bind,
 * listen, accept, or a socket of another family than the local one.
 *
 *   forbid-connect PROGRAM ARGUMENT...
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static const int calls[] = {SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4)};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int result = argc > 1 && filter ? 0 : -EINVAL;
    for (size_t i = 0; result == 0 && i < sizeof calls / sizeof *calls; i++) result = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, calls[i], 0);
    if (result == 0) result = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX));
    if (result == 0) result = seccomp_load(filter);
    if (result != 0) {
        fprintf(stderr, "forbid-connect: %s\n", strerror(-result));
        return 99;
    }
    seccomp_release(filter);
    execv(argv[1], argv + 1);
    fprintf(stderr, "forbid-connect: %s: %s\n", argv[1], strerror(errno));
    return 99;
}
