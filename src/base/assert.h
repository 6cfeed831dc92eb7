/* Assertions that stay on in release builds (TigerBeetle's and our house rule 5): a programmer's error stops
 * the process before it can spread. The expression must be free of side effects. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

_Noreturn void kv_assert_failed(const char *expr, const char *file, int line);

#define KV_ASSERT(expr) ((expr) ? (void)0 : kv_assert_failed(#expr, __FILE__, __LINE__))

#endif
