/* Addresses and names as text: what is accepted is what every other part may rely on (see addr.h). */
#include "model/addr.h"

#include <stdio.h>

#include "base/assert.h"
#include "kv_error.h"

#define PORT_DIGITS_MAX 5

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Not isalnum(), which depends on the locale. */
static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '.' || c == '_' ||
           c == '-';
}

static bool is_v6_char(char c)
{
    return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || is_digit(c) || c == ':' || c == '.';
}

static bool host_ok(const char *host, size_t len)
{
    if (len == 0 || len > HOST_MAX_BYTES)
        return false;
    bool v6 = memchr(host, ':', len) != NULL;
    for (size_t i = 0; i < len; i++)
        if (!(v6 ? is_v6_char(host[i]) : is_name_char(host[i])))
            return false;
    return true;
}

/* 1..65535, digits only, no leading zero: one text for each port. */
static int parse_port(const char *text, uint16_t *out)
{
    uint32_t port = 0;
    size_t digits = 0;
    for (; is_digit(text[digits]); digits++) {
        if (digits == PORT_DIGITS_MAX)
            return KV_E_INVALID;
        port = port * 10 + (uint32_t)(text[digits] - '0');
    }
    if (text[digits] != '\0' || text[0] == '0' || port == 0 || port > UINT16_MAX)
        return KV_E_INVALID;
    *out = (uint16_t)port;
    return KV_OK;
}

int addr_parse(const char *text, struct addr *out)
{
    bool bracketed = text[0] == '[';
    const char *host = text + bracketed;
    const char *end = strchr(host, bracketed ? ']' : ':');
    if (!end || (bracketed && end[1] != ':'))
        return KV_E_INVALID;
    size_t len = (size_t)(end - host);
    if (!host_ok(host, len) || bracketed != (memchr(host, ':', len) != NULL))
        return KV_E_INVALID;
    struct addr a = {0};
    int status = parse_port(end + (bracketed ? 2 : 1), &a.port);
    if (status != KV_OK)
        return status;
    memcpy(a.host, host, len);
    *out = a;
    return KV_OK;
}

const char *addr_format(const struct addr *a, char out[ADDR_TEXT_MAX])
{
    const char *form = strchr(a->host, ':') ? "[%s]:%u" : "%s:%u";
    int n = snprintf(out, ADDR_TEXT_MAX, form, a->host, (unsigned)a->port);
    KV_ASSERT(n > 0 && (size_t)n < ADDR_TEXT_MAX);
    return out;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

bool addr_ok(const struct addr *a)
{
    const char *end = memchr(a->host, '\0', sizeof a->host);
    return end && a->port != 0 && host_ok(a->host, (size_t)(end - a->host));
}

/* A dotted quad in full: "127.example.org" is somebody else's machine. */
static bool is_v4_loopback(const char *host)
{
    unsigned quad[4];
    int used = 0;
    if (sscanf(host, "%3u.%3u.%3u.%3u%n", &quad[0], &quad[1], &quad[2], &quad[3], &used) != 4)
        return false;
    return host[used] == '\0' && quad[0] == 127 && quad[1] <= 255 && quad[2] <= 255 && quad[3] <= 255;
}

bool addr_is_loopback(const struct addr *a)
{
    return strcmp(a->host, "localhost") == 0 || strcmp(a->host, "::1") == 0 || is_v4_loopback(a->host);
}

bool name_ok(const char *name)
{
    size_t len = strnlen(name, NAME_MAX_BYTES + 1);
    if (len == 0 || len > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_name_char(name[i]))
            return false;
    return true;
}
