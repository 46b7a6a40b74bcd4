/* app-program.h: the programs that do the dangerous work in processes of their own.
 *
 * Owns: finding them, starting them with nothing but what they need. Does not own: what they do, what their end means.
 */
#ifndef APP_PROGRAM_H
#define APP_PROGRAM_H

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/* The path in the environment variable, else beside this program, where a build tree has it, or where it was installed. Free with
 * g_free; NULL when there is none. */
char *app_program_find(const char *name, const char *variable);

/* Starts it with fds[i] as its fd i (-1: as this process has it) and an environment without anything of the user's. The fds given must be
 * high ones (app_program_move_up) and close-on-exec. 0, or an errno. */
int app_program_spawn(pid_t *ret_pid, const char *program, char *const *arguments, const int *fds, size_t n_fds);

/* posix_spawn's dup2 onto the same number would leave close-on-exec set; numbers above those that the child gets avoid that. Closes fd;
 * -1 when fd was -1 or there is no room. */
int app_program_move_up(int fd);

G_END_DECLS

#endif
