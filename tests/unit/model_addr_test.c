/* Addresses and names as people type them and as they come from strangers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kv_error.h"
#include "model/addr.h"

static void parses_and_formats_back(void **state)
{
    (void)state;
    const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {
        {"127.0.0.1:7601", "127.0.0.1", 7601},
        {"localhost:1", "localhost", 1},
        {"node-1.example_a.org:65535", "node-1.example_a.org", 65535},
        {"[::1]:7601", "::1", 7601},
        {"[fe80::1:2]:80", "fe80::1:2", 80},
        {"[::ffff:127.0.0.1]:80", "::ffff:127.0.0.1", 80},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct addr a;
        char text[ADDR_TEXT_MAX];
        assert_int_equal(addr_parse(good[i].text, &a), KV_OK);
        assert_string_equal(a.host, good[i].host);
        assert_int_equal(a.port, good[i].port);
        assert_true(addr_ok(&a));
        assert_string_equal(addr_format(&a, text), good[i].text);
    }
}

static void refuses_what_is_no_address(void **state)
{
    (void)state;
    const char *bad[] = {
        "",
        ":",
        ":80",
        "host",
        "host:",
        "host:0",
        "host:65536",
        "host:-1",
        "host:080",
        "host:8o",
        "host:80 ",
        "host: 80",
        "host:99999999",
        "ho st:80",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[::1]:",
        "[]:80",
        "[host]:80",
        "[::1:80",
        "host:80:1",
        "h\xc3\xb6:80",
        "host/x:80",
        "[::g]:80",
        "\n:80",
        "host:4294967377",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct addr a = {"untouched", 9};
        assert_int_equal(addr_parse(bad[i], &a), KV_E_INVALID);
        assert_string_equal(a.host, "untouched");
    }
}

static void bounds_the_host(void **state)
{
    (void)state;
    char text[HOST_MAX_BYTES + 10], back[ADDR_TEXT_MAX];
    struct addr a;
    memset(text, 'h', sizeof text);
    strcpy(text + HOST_MAX_BYTES, ":65535");
    assert_int_equal(addr_parse(text, &a), KV_OK);
    assert_string_equal(addr_format(&a, back), text);
    strcpy(text + HOST_MAX_BYTES, "h:65535");
    assert_int_equal(addr_parse(text, &a), KV_E_INVALID);

    /* The longest text there is. */
    memset(a.host, ':', HOST_MAX_BYTES);
    a.host[HOST_MAX_BYTES] = '\0';
    assert_int_equal(strlen(addr_format(&a, back)), HOST_MAX_BYTES + 8);
    memset(a.host, 'h', sizeof a.host);
    assert_false(addr_ok(&a));
}

static void compares_host_and_port(void **state)
{
    (void)state;
    struct addr a = {"a", 1}, b = {"a", 1};
    memset(b.host + 2, 'x', 8); /* behind the end */
    assert_true(addr_eq(&a, &b));
    b.port = 2;
    assert_false(addr_eq(&a, &b));
    b = (struct addr){"b", 1};
    assert_false(addr_eq(&a, &b));
}

static void knows_loopback(void **state)
{
    (void)state;
    const char *loopback[] = {"127.0.0.1", "127.255.1.2", "::1", "localhost"};
    const char *others[] = {"128.0.0.1",
                            "0.0.0.0",
                            "10.0.0.1",
                            "127.0.0.1.example.org",
                            "127.example.org",
                            "127.1",
                            "127.0.0.256",
                            "127.0.0.1x",
                            "::",
                            "::2",
                            "localhos",
                            ""};
    for (size_t i = 0; i < sizeof loopback / sizeof loopback[0]; i++) {
        struct addr a = {.port = 1};
        strcpy(a.host, loopback[i]);
        assert_true(addr_is_loopback(&a));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct addr a = {.port = 1};
        strcpy(a.host, others[i]);
        assert_false(addr_is_loopback(&a));
    }
}

static void names_are_short_and_plain(void **state)
{
    (void)state;
    const char *good[] = {"a", "n1", "eu-west.1_B", "0123456789012345678901234567890"};
    const char *bad[] = {"", "a b", "a/b", "a\n", "\xc3\xa4", "a:b", "01234567890123456789012345678901"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(name_ok(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(name_ok(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_and_formats_back), cmocka_unit_test(refuses_what_is_no_address),
        cmocka_unit_test(bounds_the_host),         cmocka_unit_test(compares_host_and_port),
        cmocka_unit_test(knows_loopback),          cmocka_unit_test(names_are_short_and_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
