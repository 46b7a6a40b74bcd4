/* extract-main.c: the program lectern-extract.
 *
 * Owns: the process: its arguments, the sandbox around it, what it says when a limit ends it.
 * Does not own: formats (extract-formats.h), the stream's form (stream-format.h).
 *
 * Started by the application (app-extract.c) with the document as fd 0 and a pipe as fd 1:
 *   lectern-extract NAME MEMORY_BYTES CPU_SECONDS TEXT_BYTES [password] [ocr=LANGUAGES] [unpack=SUFFIXES]
 * NAME is the file's name for telling formats apart; with "password" one is read from fd 3; "ocr" also reads pages that are pictures;
 * "unpack" sends the members of an archive instead of a document. "lectern-extract can-ocr LANGUAGES" says whether it could: 0, or 1 and
 * the reason on standard output. Not for use by hand.
 */
#include "extract-formats.h"
#include "extract-sandbox.h"
#include "extract-text.h"
#include "extract-unpack.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <libxml/parser.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
/* The leak check at exit needs ptrace, which the sandbox refuses; the unit tests run the same code under it, outside. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0:handle_segv=0:handle_abort=0:handle_sigbus=0";
}
#endif

static char alternate_stack[64 << 10];

/* Why it ends: out of processor time, out of memory (an allocation failed and the library gave up), or a crash. */
static void on_signal(int number)
{
    ExStatus status = EX_FAILED;
    if (number == SIGXCPU) {
        status = EX_LIMIT_TIME;
    } else {
        const size_t probe = 48 << 20;
        void *memory = mmap(NULL, probe, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) status = EX_LIMIT_MEMORY;
    }
    if (status != EX_FAILED) ex_writer_emergency(EX_FD_STREAM, status);
    /* A crash is told by the signal itself. */
    signal(number, SIG_DFL);
    raise(number);
}

static void set_signals(void)
{
    stack_t stack = {.ss_sp = alternate_stack, .ss_size = sizeof alternate_stack};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_RESETHAND | SA_NODEFER};
    static const int numbers[] = {SIGXCPU, SIGABRT, SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) sigaction(numbers[i], &action, NULL);
}

static char *read_password(void)
{
    char text[1024];
    size_t n = 0;
    for (;;) {
        ssize_t got = read(EX_FD_PASSWORD, text + n, sizeof text - 1 - n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        n += (size_t)got;
    }
    close(EX_FD_PASSWORD);
    text[n] = 0;
    char *password = g_strdup(text);
    memset(text, 0, sizeof text);
    return password;
}

static void ignore_xml_error(void *context, const char *message, ...)
{
}

/* What opens files when it is first used is used once now. */
static void prepare_libraries(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    xmlInitParser();
    xmlSetGenericErrorFunc(NULL, ignore_xml_error);
    ex_text_prepare();
}

static bool map_document(ExInput *input, char *reason, size_t n_reason)
{
    struct stat status;
    if (fstat(EX_FD_DOCUMENT, &status) != 0 || !S_ISREG(status.st_mode)) {
        snprintf(reason, n_reason, "it is not a file");
        return false;
    }
    if (status.st_size == 0) return true;
    void *data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, EX_FD_DOCUMENT, 0);
    if (data == MAP_FAILED) {
        snprintf(reason, n_reason, "it cannot be mapped into memory: %s", strerror(errno));
        return false;
    }
    input->data = data;
    input->n_bytes = (size_t)status.st_size;
    return true;
}

static const char *option(int argc, char **argv, const char *name)
{
    for (int i = 5; i < argc; i++) {
        if (g_str_has_prefix(argv[i], name)) return argv[i] + strlen(name);
    }
    return NULL;
}

static void work(const ExInput *input, const char *unpack, ExWriter *writer)
{
    if (unpack) {
        ex_unpack(input, unpack, writer);
    } else {
        ExFormat format = ex_format_detect(input);
        ex_writer_meta(writer, "format", ex_format_name(format));
        ex_extract(format, input, writer);
    }
    ex_writer_finish(writer, EX_FAILED, N_("nothing was read"));
}

static int say_can_ocr(const char *languages)
{
    char reason[256] = "";
    ex_sandbox_silence(); /* Tesseract says itself, at length, what is missing */
    ExOcr *ocr = ex_ocr_new(languages, reason, sizeof reason);
    if (!ocr) puts(reason);
    ex_ocr_free(ocr);
    return ocr ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "can-ocr") == 0) return say_can_ocr(argv[2]);
    if (argc < 5) {
        fprintf(stderr, "lectern-extract is a part of Lectern; `lectern read FILE` uses it.\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ExInput input = {.data = "", .name = argv[1], .fd = EX_FD_DOCUMENT, .max_unpacked_bytes = UINT64_C(512) << 20};
    g_autofree char *password = option(argc, argv, "password") ? read_password() : NULL;
    const char *languages = option(argc, argv, "ocr="), *unpack = option(argc, argv, "unpack=");
    input.password = password;
    ex_sandbox_silence();
    set_signals();
    prepare_libraries();
    ExWriter *writer = ex_writer_new(EX_FD_STREAM, strtoull(argv[4], NULL, 10));
    char reason[256] = "";
    /* The document's pages do not count towards the limit on memory: mapped first, not read. */
    bool is_ready = map_document(&input, reason, sizeof reason);
    if (is_ready && languages) input.ocr = ex_ocr_new(languages, reason, sizeof reason);
    is_ready = is_ready && (!languages || input.ocr);
    static const char *const readable[] = {"/usr/share/poppler", NULL}; /* character maps of East Asian fonts */
    const ExSandbox sandbox = {
        .max_memory_bytes = strtoull(argv[2], NULL, 10),
        .max_cpu_s = (uint32_t)strtoul(argv[3], NULL, 10),
        .readable = readable,
        .keep_fd = STDERR_FILENO,
    };
    ExSandboxState state;
    is_ready = is_ready && ex_sandbox_enter(&sandbox, &state, reason, sizeof reason);
    if (!is_ready) {
        ex_writer_finish(writer, EX_FAILED, "%s", reason);
    } else {
        work(&input, unpack, writer);
    }
    ex_writer_free(writer);
    ex_ocr_free(input.ocr);
    return 0;
}
