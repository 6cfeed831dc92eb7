#include "cmd/kvcli_screen.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* Alternate screen, no cursor, no wrapping at the right edge; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l\033[H\033[2J"
#define LEAVE "\033[0m\033[?7h\033[?25h\033[?1049l"

static struct {
    volatile bool entered;
    int keys; /* -1: none */
    struct termios before;
} screen = {.keys = -1};

bool screen_possible(void)
{
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

bool screen_colors(void)
{
    const char *no = getenv("NO_COLOR");
    return screen_possible() && !(no && *no);
}

bool screen_utf8(void)
{
    setlocale(LC_CTYPE, "");
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

void screen_size(uint32_t *columns, uint32_t *lines)
{
    struct winsize size = {0};
    bool told = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    *columns = told && size.ws_col ? size.ws_col : 80;
    *lines = told && size.ws_row ? size.ws_row : 24;
}

static void write_all(const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, data, len);
        if (n < 0 && errno != EINTR)
            return; /* the terminal is gone; its signal ends us */
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

/* A descriptor of its own: one that does not block must not be shared with the shell that started us. */
static void open_keys(void)
{
    char name[256];
    if (ttyname_r(STDOUT_FILENO, name, sizeof name) == 0)
        screen.keys = open(name, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (screen.keys >= 0 && tcgetattr(screen.keys, &screen.before) != 0) {
        close(screen.keys);
        screen.keys = -1;
    }
}

int screen_enter(void)
{
    static bool registered;
    if (!registered)
        atexit(screen_leave);
    registered = true;
    if (screen.keys < 0)
        open_keys();
    if (screen.keys >= 0) {
        struct termios raw = screen.before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* ISIG stays: Ctrl-C is a signal */
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        tcsetattr(screen.keys, TCSANOW, &raw);
    }
    screen.entered = true;
    write_all(ENTER, sizeof ENTER - 1);
    return screen.keys;
}

void screen_leave(void)
{
    if (!screen.entered)
        return;
    screen.entered = false;
    write_all(LEAVE, sizeof LEAVE - 1);
    if (screen.keys >= 0)
        tcsetattr(screen.keys, TCSANOW, &screen.before);
}

void screen_show(struct bytes lines, struct buf *spare)
{
    const uint8_t *at = lines.data, *end = lines.data + lines.len;
    buf_clear(spare);
    int rc = buf_append(spare, bytes_str("\033[H"));
    while (rc == 0 && at < end) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        const uint8_t *stop = newline ? newline : end;
        rc = buf_append(spare, bytes_of(at, (size_t)(stop - at)));
        at = newline ? newline + 1 : end;
        /* What an older page left to the right goes; the last line does not scroll the screen. */
        if (rc == 0)
            rc = buf_append(spare, bytes_str(at < end ? "\033[K\r\n" : "\033[K"));
    }
    if (rc == 0)
        rc = buf_append(spare, bytes_str("\033[J"));
    if (rc == 0)
        write_all((const char *)spare->data, spare->len);
}
